"""Write one smaller or quicker form of the ensemble (rule make_variant)."""

import json

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.ensemble import quorum
from foldstack.ensemble.members import read_stacked
from foldstack.export.agreement import spread
from foldstack.files import read_json, write_text
from foldstack.jobs.job import job


def main(smk):
    with job(smk):
        import lightgbm

        from foldstack.export import variants

        config, kind = json.loads(smk.params.config), smk.wildcards.variant
        stack, dataset = read_json(smk.input.stack), read_json(smk.input.dataset)
        samples, (models,) = tables.read_samples(smk.input.samples), quorum.present(smk.input.models)
        if kind == "fp16":
            variants.write_fp16(smk.input.onnx, smk.output.onnx)
        elif kind == "student":
            from foldstack.export import student

            pixels = open_pixels(smk.input.pixels)[: variants.CALIBRATION]
            (run,) = smk.input.student
            student.write_student(smk.input.onnx, run, stack, dataset, pixels, smk.output.onnx)
        elif kind == "int8":
            rows = samples.loc[samples["split"] == "train", "row"].to_numpy()
            pixels = open_pixels(smk.input.pixels)[rows[spread(len(rows), variants.CALIBRATION)]]
            booster = lightgbm.Booster(model_file=str(smk.input.stacker))
            variants.write_int8(smk.input.onnx, models, booster, stack, dataset, pixels, smk.output.onnx)
        else:
            own = config["variants"]
            keep = variants.choose_models(read_json(smk.input.metrics), own["budget"], own["share"])
            print(f"keeps {keep} of {stack['models']}")
            if set(keep) == set(stack["models"]):
                write_text(smk.output.onnx, "")
                return
            members = read_stacked(smk.input, config["members"], stack, samples, dataset["classes"])
            variants.write_pruned(
                smk.input.onnx, models, members, keep, stack, config["stack"], dataset, smk.output.onnx
            )


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
