"""Compare one exported model with torch and with the pipeline's own predictions (rule verify_export)."""

import json

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.ensemble import quorum
from foldstack.export.agreement import DEVICE_TOLERANCE, choose_samples
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job
from foldstack.runs import beside


def main(snakemake):
    with job(snakemake):
        if quorum.is_empty(snakemake.input.onnx):
            write_json(snakemake.output.parity, {"model": snakemake.wildcards.model, "left_out": True, "passed": None})
            return
        run_files = quorum.whole_members(snakemake.input.runs)
        from foldstack.export import model_gate
        from foldstack.export.model import read_runs
        from foldstack.export.session import open_session

        config, dataset = json.loads(snakemake.params.config), read_json(snakemake.input.dataset)
        _, exported = open_session(snakemake.input.onnx)
        runs, _ = read_runs(run_files, snakemake.wildcards.model, dataset, exported)
        folds = tables.read_folds(snakemake.input.folds)
        chosen = choose_samples(tables.read_samples(snakemake.input.samples), config["samples"], folds)
        pixels = open_pixels(snakemake.input.pixels)[chosen["row"].to_numpy()]
        tested = (chosen["split"] == "test").all()
        name, read = ("test", model_gate.read_pipeline) if tested else ("oof", model_gate.read_out_of_fold)
        files = [(seed, fold, beside(weights, name)) for seed, fold, weights in runs]
        pipeline = read(files, chosen["sample_id"].tolist(), dataset["classes"])
        on_cpu = all(read_json(path)["device"] == "cpu" for path in run_files)
        report = model_gate.check(
            snakemake.input.onnx,
            runs,
            pixels,
            tolerance=config["tolerance"],
            pipeline=pipeline,
            pipeline_tolerance=None if on_cpu else DEVICE_TOLERANCE,
        )
        write_json(snakemake.output.parity, report)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
