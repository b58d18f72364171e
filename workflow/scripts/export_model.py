"""Write one model's networks, averaged over folds and seeds, as one ONNX file (rule export_model)."""

from foldstack.ensemble import quorum
from foldstack.export.onnx_file import write_nothing
from foldstack.files import read_json
from foldstack.folds.digest import versions
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        run_files = quorum.whole_members(snakemake.input.runs)
        if not run_files:
            print("left out: no seed of this model has all its runs")
            write_nothing(snakemake.output.onnx)
            return
        from foldstack.export.model import export_model, read_runs
        from foldstack.export.trace import Trace

        dataset = read_json(snakemake.input.dataset)
        today = versions(dataset, read_json(snakemake.input.folds_summary))
        runs, metadata = read_runs(run_files, snakemake.wildcards.model, dataset, today)
        stored = export_model(runs, snakemake.output.onnx, metadata, [Trace.load(snakemake.input.graph)])
        print(f"{metadata['model']}: {len(runs)} networks, seeds {stored['seeds']}, {stored['n_splits']} folds")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
