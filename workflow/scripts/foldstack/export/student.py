"""The distilled student: one network trained to give the stack's out-of-fold predictions, exported like the ensemble.

Its soft labels are the stack's cross-fitted predictions of the training samples (`stack/oof.arrow`), each by networks
and a stacker that were not fitted on that sample; no test sample is involved. Student k learns from the samples outside
fold k and predicts fold k, which gives out-of-fold predictions of all; the last, which is deployed, learns from all.

What the soft labels of other folds say was learned with the labels of fold k, too, so a student's out-of-fold accuracy
may be a little optimistic, as that of any model fitted on a stack. The test split is free of that, and where there is
one, it decides. Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.data.digest import PIXEL_FORMAT
from foldstack.errors import FoldstackError
from foldstack.evaluation import bootstrap
from foldstack.evaluation.metrics import core_scores
from foldstack.export import model_gate
from foldstack.export.ensemble import export_ensemble
from foldstack.export.model import export_model
from foldstack.export.session import read_metadata
from foldstack.files import digest_of, read_json, sha256_of
from foldstack.folds.digest import check_versions
from foldstack.folds.proof import check_ids
from foldstack.runs import beside

NAME = "student"
TOLERANCE = 1e-4  # of the exported file against torch, as for every model
PROTOCOL = (
    "One network, trained on the stack's out-of-fold predictions of all training samples, each by networks and a "
    "stacker that were not fitted on it. Scores: test is the held-out split, which no choice has seen."
)


def write_student(full, run, stack: dict, dataset: dict, pixels: np.ndarray, path) -> dict:
    """Write the network that learned from all training samples as an ensemble of one; returns the metadata.

    Args:
        full: export/ensemble.onnx.
        run: its run.json, beside which the weights lie.
        stack, dataset: stack.json and dataset.json.
        pixels: stored pixels of some samples, on which the file must agree with torch.
    """
    record = _trained(run)
    check_versions(record, run, stack)
    weights = [(record["seed"], 0, beside(run, "weights"))]
    described = {key: dataset[key] for key in ("classes", *PIXEL_FORMAT)}
    described |= {"model": NAME, "data_digest": stack["data_digest"], "folds_digest": stack["folds_digest"]}
    own = read_metadata(full)
    spec = {key: stack[key] for key in ("classes", "floor", "data_digest", "folds_digest", "left_out")}
    spec |= {
        "method": "mean",
        "form": "per_class",
        "models": [NAME],
        "best_single": NAME,
        "weights": {NAME: 1.0},
        "n_splits": 1,
    }
    metadata = {"architectures": {NAME: record["config"]["architecture"]}, "licence": own["licence"], "scores": {}}
    metadata |= {
        "protocol": PROTOCOL,
        "config_digest": digest_of(record["config"]),
        "code_digest": digest_of([record["code_digest"]]),
    }
    metadata |= {"variant": {"kind": NAME, "made_of": sha256_of(full), "teacher": stack["method"]}}
    with tempfile.TemporaryDirectory() as folder:
        single = Path(folder) / f"{NAME}.onnx"
        export_model(weights, single, described)
        model_gate.check(single, weights, pixels, tolerance=TOLERANCE)
        return export_ensemble([single], None, spec, dataset, metadata, path)


def _trained(run) -> dict:
    """The run.json of a student, if its training did not fail."""
    record = read_json(run)
    if record["status"] == "failed":
        raise FoldstackError(f"The student of fold {record['fold']} was not trained: {record['reason']}")
    return record


def collect_oof(runs: Sequence, folds: pd.DataFrame, sample_ids: Sequence[str], classes) -> np.ndarray:
    """(N, C) float64: the prediction of each training sample by the student that did not learn from it.

    Args:
        runs: run.json of the students of all folds, in any order; oof.arrow is next to each.
        folds: folds.parquet.

    Raises:
        FoldstackError: a run learned from samples that it predicts, or not all samples are predicted.
    """
    frames = []
    for path in runs:
        record = _trained(path)
        check_ids(record, path, folds, record["fold"])
        frames.append(tables.read_predictions(beside(path, "oof"), classes))
    joined = pd.concat(frames, ignore_index=True).set_index("sample_id")
    if not joined.index.is_unique or set(joined.index) != set(sample_ids):
        raise FoldstackError("The students' folds do not hold each training sample once; delete the folder student.")
    return tables.probabilities(joined.loc[list(sample_ids)])


def out_of_fold(labels: np.ndarray, student: np.ndarray, teacher: np.ndarray, config: dict) -> dict:
    """The student's accuracy on the training samples against the stack's, both out of fold: what distillation costs."""
    scores = core_scores(labels, student)
    difference = bootstrap.accuracy_difference(
        labels, student.argmax(axis=1), teacher.argmax(axis=1), config["bootstrap"], config["seed"]
    )
    return {"accuracy": scores["accuracy"], "log_loss": scores["log_loss"], "samples": len(labels),
            "full_accuracy": core_scores(labels, teacher)["accuracy"], "difference": difference}  # fmt: skip
