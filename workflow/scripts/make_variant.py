"""Write one smaller or faster form of the ensemble (rule make_variant)."""

import json
from pathlib import Path

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.ensemble import quorum
from foldstack.ensemble.members import read_stacked
from foldstack.export.agreement import spread
from foldstack.export.onnx_file import write_nothing
from foldstack.files import read_json
from foldstack.jobs.job import job


def main(snakemake):
    with job(snakemake):
        import lightgbm

        from foldstack.export import variants

        config, kind = json.loads(snakemake.params.config), snakemake.wildcards.variant
        path = Path(snakemake.output.folder) / "ensemble.onnx"
        stack, dataset = read_json(snakemake.input.stack), read_json(snakemake.input.dataset)
        samples, (models,) = tables.read_samples(snakemake.input.samples), quorum.present(snakemake.input.models)
        if kind == "fp16":
            variants.write_fp16(snakemake.input.onnx, path)
        elif kind == "student":
            from foldstack.export import student

            pixels = open_pixels(snakemake.input.pixels)[: variants.CALIBRATION]
            (run,) = snakemake.input.student
            student.write_student(snakemake.input.onnx, run, stack, dataset, pixels, path)
        elif kind == "int8":
            rows = samples.loc[samples["split"] == "train", "row"].to_numpy()
            pixels = open_pixels(snakemake.input.pixels)[rows[spread(len(rows), variants.CALIBRATION)]]
            booster = lightgbm.Booster(model_file=str(snakemake.input.stacker))
            variants.write_int8(snakemake.input.onnx, models, booster, stack, dataset, pixels, path)
        else:
            own = config["variants"]
            keep = variants.choose_models(read_json(snakemake.input.metrics), own["budget"], own["share"])
            print(f"keeps {keep} of {stack['models']}")
            if set(keep) == set(stack["models"]):
                write_nothing(path)
                return
            members = read_stacked(snakemake.input, config["members"], stack, samples, dataset["classes"])
            variants.write_pruned(snakemake.input.onnx, models, members, keep, stack, config["stack"], dataset, path)


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
