"""Write the whole ensemble as one ONNX file (rule export_ensemble)."""

import json

from foldstack.ensemble import quorum
from foldstack.files import read_json
from foldstack.folds.digest import check_versions, versions
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        import lightgbm

        from foldstack.export.ensemble import describe, export_ensemble

        stack, dataset = read_json(smk.input.stack), read_json(smk.input.dataset)
        check_versions(stack, smk.input.stack, versions(dataset, read_json(smk.input.folds_summary)))
        records = [read_json(path) for path in quorum.whole_members(smk.input.runs)]
        licence = json.loads(smk.params.config)
        described = describe(records, stack, read_json(smk.input.metrics), licence)
        (models,) = quorum.present(smk.input.models)
        booster = lightgbm.Booster(model_file=str(smk.input.stacker))
        metadata = export_ensemble(models, booster, stack, dataset, described, smk.output.onnx)
        print(f"{len(records)} networks of the models {metadata['models']}, {metadata['n_splits']} folds")


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
