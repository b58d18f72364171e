"""Cross-fit the blends and stacks, and fit the stacker that is deployed (rule fit_stacker)."""

import json

import numpy as np

from foldstack import tables
from foldstack.ensemble import quorum, stacking
from foldstack.ensemble.members import methods_table, read_members
from foldstack.errors import FoldstackError
from foldstack.files import read_json, write_json, write_text
from foldstack.folds import proof
from foldstack.folds.digest import versions
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        config = json.loads(snakemake.params.config)
        dataset, summary = read_json(snakemake.input.dataset), read_json(snakemake.input.folds_summary)
        classes, samples = dataset["classes"], tables.read_samples(snakemake.input.samples)
        seeds, left_out = quorum.with_quorum(config["members"], snakemake.input.oof, config["stack"]["quorum"])
        assigned = tables.read_folds(snakemake.input.folds)
        proof.check_prepared(samples, dataset, tables.read_duplicates(snakemake.input.duplicates), assigned, summary)
        oof_paths, test_paths = quorum.present(snakemake.input.oof, snakemake.input.test)
        for path in [*oof_paths, *test_paths]:
            proof.check_member(path, dataset, assigned, summary)
        members = read_members(oof_paths, test_paths, seeds, samples, classes)
        folds = assigned.set_index("sample_id")["fold"].reindex(members.sample_ids)
        if not np.array_equal(folds.to_numpy(), members.folds):
            raise FoldstackError(
                "The folder oof was made with other folds than folds.parquet; delete it and run again."
            )

        averaged, labels = members.seed_averaged_oof(), members.labels
        masks = stacking.outside_each_fold(labels, members.folds)
        subsets = [np.ones(len(labels), bool), *masks]
        whole, *others = stacking.fit_stacks(
            averaged, labels, members.folds, subsets, members.models, classes, config["stack"]
        )
        oof = stacking.cross_predict(others, averaged, members.folds)
        spec, booster = whole.spec, whole.booster
        spec |= versions(dataset, summary) | {"n_splits": summary["n_splits"], "left_out": left_out}
        test = stacking.predict_test(spec, members.seed_averaged_test(), booster)

        write_text(snakemake.output.stacker, booster.model_to_string())
        write_json(snakemake.output.stack, spec)
        keys = ("method", "sample_id")
        crossed = {str(fold): members.sample_ids[fitted.rows] for fold, fitted in enumerate(others)}
        made_from = proof.of_stack(oof_paths, crossed, dataset, summary)
        deployed = proof.of_stack(oof_paths, {"all": members.sample_ids}, dataset, summary)
        oof_table = methods_table(oof, members.sample_ids, members.folds)
        tables.write_predictions(oof_table, snakemake.output.oof, classes, keys, made_from)
        test_table = methods_table(test, members.test_ids)
        tables.write_predictions(test_table, snakemake.output.test, classes, keys, deployed)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
