"""Write the whole ensemble as one ONNX file (rule export_ensemble)."""

import json

from foldstack.ensemble import quorum
from foldstack.files import read_json
from foldstack.folds.digest import check_versions, versions
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        import lightgbm

        from foldstack.export.ensemble import describe, export_ensemble

        stack, dataset = read_json(snakemake.input.stack), read_json(snakemake.input.dataset)
        check_versions(stack, snakemake.input.stack, versions(dataset, read_json(snakemake.input.folds_summary)))
        records = [read_json(path) for path in quorum.whole_members(snakemake.input.runs)]
        licence = json.loads(snakemake.params.config)
        described = describe(records, stack, read_json(snakemake.input.metrics), licence)
        (models,) = quorum.present(snakemake.input.models)
        booster = lightgbm.Booster(model_file=str(snakemake.input.stacker))
        metadata = export_ensemble(models, booster, stack, dataset, described, snakemake.output.onnx)
        print(f"{len(records)} networks of the models {metadata['models']}, {metadata['n_splits']} folds")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
