"""Compare one exported model with torch and with the pipeline's own predictions (rule verify_export)."""

import json

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.ensemble import quorum
from foldstack.export.agreement import DEVICE_TOLERANCE, choose_samples
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job
from foldstack.runs import beside


def main(smk):
    with job(smk):
        if quorum.is_empty(smk.input.onnx):
            write_json(smk.output.parity, {"model": smk.wildcards.model, "left_out": True, "passed": None})
            return
        run_files = quorum.whole_members(smk.input.runs)
        from foldstack.export import model_gate
        from foldstack.export.model import read_runs
        from foldstack.export.session import open_session

        config, dataset = json.loads(smk.params.config), read_json(smk.input.dataset)
        _, exported = open_session(smk.input.onnx)
        runs, _ = read_runs(run_files, smk.wildcards.model, dataset, exported)
        folds = tables.read_folds(smk.input.folds)
        chosen = choose_samples(tables.read_samples(smk.input.samples), config["samples"], folds)
        pixels = open_pixels(smk.input.pixels)[chosen["row"].to_numpy()]
        tested = (chosen["split"] == "test").all()
        name, read = ("test", model_gate.read_pipeline) if tested else ("oof", model_gate.read_out_of_fold)
        files = [(seed, fold, beside(weights, name)) for seed, fold, weights in runs]
        pipeline = read(files, chosen["sample_id"].tolist(), dataset["classes"])
        on_cpu = all(read_json(path)["device"] == "cpu" for path in run_files)
        report = model_gate.check(
            smk.input.onnx,
            runs,
            pixels,
            tolerance=config["tolerance"],
            pipeline=pipeline,
            pipeline_tolerance=None if on_cpu else DEVICE_TOLERANCE,
        )
        write_json(smk.output.parity, report)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
