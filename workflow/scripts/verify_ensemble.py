"""Compare export/ensemble.onnx with the pipeline and with its parts; fail where they differ (rule verify_ensemble)."""

import json

import numpy as np

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.ensemble import quorum
from foldstack.ensemble.members import read_methods, read_stacked
from foldstack.export.agreement import choose_samples
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job
from foldstack.probabilities import softmax


def main(snakemake):
    with job(snakemake):
        import lightgbm

        from foldstack.export import ensemble_gate

        config, stack, dataset = (
            json.loads(snakemake.params.config),
            read_json(snakemake.input.stack),
            read_json(snakemake.input.dataset),
        )
        samples = tables.read_samples(snakemake.input.samples)
        chosen = choose_samples(samples, config["export"]["samples"], tables.read_folds(snakemake.input.folds))
        pixels = open_pixels(snakemake.input.pixels)[chosen["row"].to_numpy()]
        members = read_stacked(snakemake.input, config["members"], stack, samples, dataset["classes"])
        if (chosen["split"] == "test").all():
            stored = read_methods(snakemake.input.stack_test, members.test_ids, dataset["classes"])[stack["method"]]
            rows = np.searchsorted(members.test_ids.astype(str), chosen["sample_id"].to_numpy(str))
            pipeline: tuple = members.seed_averaged_test()[:, :, rows], softmax(stored[rows])
        else:
            rows = np.searchsorted(members.sample_ids.astype(str), chosen["sample_id"].to_numpy(str))
            pipeline = ensemble_gate.by_fold(members.seed_averaged_oof()[:, rows], members.folds[rows]), None
        runs = [read_json(path) for path in quorum.whole_members(snakemake.input.runs)]
        report = ensemble_gate.check(
            snakemake.input.onnx,
            quorum.present(snakemake.input.models)[0],
            lightgbm.Booster(model_file=str(snakemake.input.stacker)),
            stack,
            pixels,
            tolerance=config["export"]["tolerance"],
            pipeline=pipeline,
            on_cpu=all(run["device"] == "cpu" for run in runs),
        )
        write_json(snakemake.output.parity, report)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
