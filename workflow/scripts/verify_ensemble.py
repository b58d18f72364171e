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


def main(smk):
    with job(smk):
        import lightgbm

        from foldstack.export import ensemble_gate

        config, stack, dataset = json.loads(smk.params.config), read_json(smk.input.stack), read_json(smk.input.dataset)
        samples = tables.read_samples(smk.input.samples)
        chosen = choose_samples(samples, config["export"]["samples"], tables.read_folds(smk.input.folds))
        pixels = open_pixels(smk.input.pixels)[chosen["row"].to_numpy()]
        members = read_stacked(smk.input, config["members"], stack, samples, dataset["classes"])
        if (chosen["split"] == "test").all():
            ensemble = read_methods(smk.input.stack_test, members.test_ids, dataset["classes"])[stack["method"]]
            rows = np.searchsorted(members.test_ids.astype(str), chosen["sample_id"].to_numpy(str))
            pipeline = members.seed_averaged_test()[:, :, rows], ensemble[rows]
        else:
            rows = np.searchsorted(members.sample_ids.astype(str), chosen["sample_id"].to_numpy(str))
            pipeline = ensemble_gate.by_fold(members.seed_averaged_oof()[:, rows], members.folds[rows]), None
        runs = [read_json(path) for path in quorum.whole_members(smk.input.runs)]
        report = ensemble_gate.check(
            smk.input.onnx,
            quorum.present(smk.input.models)[0],
            lightgbm.Booster(model_file=str(smk.input.stacker)),
            stack,
            pixels,
            tolerance=config["export"]["tolerance"],
            pipeline=pipeline,
            on_cpu=all(run["device"] == "cpu" for run in runs),
        )
        write_json(smk.output.parity, report)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
