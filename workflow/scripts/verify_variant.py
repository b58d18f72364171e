"""Measure a variant against the full file, and pass it on where it may be deployed (rule verify_variant)."""

import json
from pathlib import Path

import numpy as np

from foldstack import tables
from foldstack.data.pixels import open_pixels
from foldstack.ensemble import quorum
from foldstack.export import variant_gate
from foldstack.export.ensemble import write_ensemble
from foldstack.export.onnx_file import write_nothing
from foldstack.export.session import read_metadata
from foldstack.export.tensors import of_onnx
from foldstack.files import read_json, write_json
from foldstack.jobs.job import job

STORED = ("accuracy", "accuracy_low", "accuracy_high", "log_loss")


def main(snakemake):
    with job(snakemake):
        candidate = Path(snakemake.input.candidate) / "ensemble.onnx"
        if quorum.is_empty(candidate):
            write_json(snakemake.output.report, {"passed": None, "reasons": ["no model can be spared"]})
            write_nothing(snakemake.output.onnx)
            return
        samples = tables.read_samples(snakemake.input.samples)
        split = "test" if (samples["split"] == "test").any() else "train"
        chosen = samples[samples["split"] == split].sort_values("sample_id", ignore_index=True)
        folds = None
        if split == "train":
            folds = (
                tables.read_folds(snakemake.input.folds)
                .set_index("sample_id")
                .loc[chosen["sample_id"], "fold"]
                .to_numpy()
            )
        pixels = open_pixels(snakemake.input.pixels)[chosen["row"].to_numpy()]
        labels, config = chosen["label"].to_numpy(np.int64), json.loads(snakemake.params.config)
        oof = _student(snakemake, candidate, samples, config) if snakemake.input.students else None
        own = oof.pop("probabilities") if oof else None
        report = variant_gate.measure(
            snakemake.input.onnx,
            candidate,
            pixels,
            labels,
            folds,
            config,
            None if folds is None else own,
        )
        if oof:
            report["oof"] = oof
        write_json(snakemake.output.report, report)
        if not report["passed"]:
            print(f"not passed on: {'; '.join(report['reasons'])}")
            write_nothing(snakemake.output.onnx)
            return
        metadata = read_metadata(candidate)
        metadata["scores"] = {report["part"]: {key: report["variant"][key] for key in STORED}}
        metadata["variant"] |= {key: report[key] for key in ("agreement", "max_abs_difference")}
        metadata["variant"]["compared_on"] = {"part": report["part"], "samples": report["samples"]}
        write_ensemble(*of_onnx(candidate), metadata, snakemake.output.onnx)


def _student(snakemake, candidate: Path, samples, config: dict) -> dict:
    """A student's out-of-fold scores, and under `probabilities` its predictions, training samples by id."""
    from foldstack.export import student

    metadata = read_metadata(candidate)
    train = samples[samples["split"] == "train"].sort_values("sample_id", ignore_index=True)
    ids, labels, classes = train["sample_id"].tolist(), train["label"].to_numpy(np.int64), metadata["classes"]
    own = student.collect_oof(snakemake.input.students, tables.read_folds(snakemake.input.folds), ids, classes)
    teacher = tables.soft_labels(snakemake.input.stack_oof, read_json(snakemake.input.stack)["method"], ids, classes)
    return student.out_of_fold(labels, own, teacher, config) | {"probabilities": own}


if __name__ == "__main__":
    main(snakemake)  # noqa: F821
