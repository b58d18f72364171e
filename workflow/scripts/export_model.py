"""Write one model's networks, averaged over folds and seeds, as one ONNX file (rule export_model)."""

from foldstack.ensemble import quorum
from foldstack.files import read_json, write_text
from foldstack.folds.digest import versions
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        run_files = quorum.whole_members(smk.input.runs)
        if not run_files:
            print("left out: no seed of this model has all its runs")
            write_text(smk.output.onnx, "")
            return
        from foldstack.export.model import export_model, read_runs

        dataset = read_json(smk.input.dataset)
        today = versions(dataset, read_json(smk.input.folds_summary))
        runs, metadata = read_runs(run_files, smk.wildcards.model, dataset, today)
        stored = export_model(runs, smk.output.onnx, metadata)
        print(f"{metadata['model']}: {len(runs)} networks, seeds {stored['seeds']}, {stored['n_splits']} folds")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
