"""Cross-fit the blends and stacks, and fit the stacker that is deployed (rule fit_stacker)."""

import json

import numpy as np

from foldstack import quorum, stacking, tables
from foldstack.errors import FoldstackError
from foldstack.jobs import job, read_json, write_json, write_text
from foldstack.members import methods_table, read_members


def main(smk):
    with job(smk):
        config = json.loads(smk.params.config)
        dataset, summary = read_json(smk.input.dataset), read_json(smk.input.folds_summary)
        classes, samples = dataset["classes"], tables.read_samples(smk.input.samples)
        seeds, left_out = quorum.with_quorum(config["members"], smk.input.oof, config["stack"]["quorum"])
        members = read_members(*quorum.present(smk.input.oof, smk.input.test), seeds, samples, classes)
        folds = tables.read_folds(smk.input.folds).set_index("sample_id")["fold"].reindex(members.sample_ids)
        if not np.array_equal(folds.to_numpy(), members.folds):
            raise FoldstackError(
                "The folder oof was made with other folds than folds.parquet; delete it and run again."
            )

        inputs = members.seed_averaged_oof(), members.labels
        spec, booster = stacking.fit_stack(*inputs, members.models, classes, config["stack"])
        oof = stacking.cross_fit(*inputs, members.folds, members.models, classes, config["stack"])
        spec |= {"n_splits": summary["n_splits"], "left_out": left_out}
        spec |= {"data_digest": dataset["digest"], "folds_digest": summary["digest"]}
        test_members = members.seed_averaged_test()
        test = {method: stacking.predict_folds(method, spec, test_members, booster) for method in stacking.METHODS}

        write_text(smk.output.stacker, booster.model_to_string())
        write_json(smk.output.stack, spec)
        keys = ("method", "sample_id")
        oof_table = methods_table(oof, members.sample_ids, classes, members.folds)
        tables.write_predictions(oof_table, smk.output.oof, classes, keys)
        tables.write_predictions(methods_table(test, members.test_ids, classes), smk.output.test, classes, keys)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
