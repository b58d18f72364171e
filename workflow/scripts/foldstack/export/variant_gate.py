"""What a variant of export/ensemble.onnx costs and saves, and whether it may be deployed."""

import statistics
import time

import numpy as np

from foldstack.data.digest import PIXEL_FORMAT
from foldstack.errors import FoldstackError
from foldstack.evaluation import bootstrap
from foldstack.evaluation.metrics import outcome
from foldstack.export import agreement
from foldstack.export.onnx_file import total_bytes
from foldstack.export.session import open_session, run_ensemble
from foldstack.probabilities import normalised

SAME = ("classes", *PIXEL_FORMAT, "data_digest", "folds_digest")
BATCHES = {1: 60, 64: 12}  # size: rounds that are timed


def measure(
    full,
    variant,
    pixels: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray | None,
    config: dict,
    own_oof: np.ndarray | None = None,
) -> dict:
    """Compare a variant with the full file on the same samples.

    Args:
        full, variant: paths.
        pixels, labels: uint8 (N, ...) and (N,) class indices: the test split.
        folds: None; or, where there is no test split, the fold of each training sample. What is compared is then the
            plain mean of the networks that did not see the sample, since the stacker has seen its label.
        config: `min_agreement`, `bootstrap`, `seed`.
        own_oof: (N, C), with `folds`: what stands for the variant's outputs where it has no networks by fold.

    Returns `full` and `variant` (`bytes`, `accuracy`, `accuracy_low`, `accuracy_high`, `log_loss`), `difference` (of
    the accuracies, paired), `agreement` (share of equal labels), `max_abs_difference`, `batch_max_abs_difference` (how
    much a row depends on its batch), `speed` by batch (times as quick as the full file: `median`, `low`, `high`; CPU
    time of one thread), `models`, `part`, `samples`, `passed` and `reasons`.
    Raises FoldstackError where the variant is broken: other data, or outputs that are not finite or of a wrong shape.
    """
    sessions, metadata = zip(*(open_session(path) for path in (full, variant)), strict=True)
    for key in SAME:
        if metadata[0][key] != metadata[1][key]:
            raise FoldstackError(f"{variant} and {full} differ in {key}; delete the variant and run again.")
    tables = {"full": _table(sessions[0], pixels, folds)}
    tables["variant"] = own_oof if own_oof is not None else _table(sessions[1], pixels, folds)
    if not np.isfinite(tables["variant"]).all():
        raise FoldstackError(f"{variant} gives probabilities that are not finite; take it out of variants.kinds.")
    outcomes = {name: outcome(labels, table, ["accuracy", "log_loss"]) for name, table in tables.items()}
    scored = bootstrap.Bootstrap(labels, config["bootstrap"], config["seed"]).scored(outcomes)
    report: dict = {"part": "test" if folds is None else "oof", "samples": len(labels)}
    for name, path in (("full", full), ("variant", variant)):
        scores = scored[name].scores
        low, high = scored[name].intervals()["accuracy"]
        report[name] = {
            "bytes": total_bytes(path),
            "accuracy": scores["accuracy"],
            "log_loss": scores["log_loss"],
        }
        report[name] |= {"accuracy_low": low, "accuracy_high": high}
    report["models"] = metadata[1]["models"]
    variant_says, full_says = (outcomes[name].predicted for name in ("variant", "full"))
    report["difference"] = bootstrap.accuracy_difference(
        labels, variant_says, full_says, config["bootstrap"], config["seed"]
    )
    report["agreement"] = float(np.mean(variant_says == full_says))
    report["max_abs_difference"] = agreement.difference(tables["variant"], tables["full"])
    # Reported, not checked: 8-bit arithmetic may take its ranges from the batch.
    report["batch_max_abs_difference"] = agreement.check_batches(
        variant, lambda batch: run_ensemble(sessions[1], batch)["fold_probabilities"], pixels, tolerance=np.inf
    )
    report["speed"] = {
        str(size): _speed(sessions[0], sessions[1], pixels, size, rounds) for size, rounds in BATCHES.items()
    }
    reasons = _reasons(report, config["min_agreement"])
    return report | {"passed": not reasons, "reasons": reasons}


def _table(session, pixels: np.ndarray, folds: np.ndarray | None) -> np.ndarray:
    """(N, C) float64 that is scored."""
    outputs = run_ensemble(session, pixels)
    if folds is None:
        return normalised(outputs["probabilities"])
    of_folds = outputs["fold_probabilities"].astype(np.float64).mean(axis=1)
    return normalised(of_folds[np.arange(len(folds)), folds])


def _speed(full, variant, pixels: np.ndarray, size: int, rounds: int) -> dict:
    """Both in turn on the same batch: `median`, `low` and `high` (10th and 90th percentile) of full / variant."""
    images = np.ascontiguousarray(pixels[np.arange(size) % len(pixels)])
    ratios = []
    for number in range(rounds + 2):
        seconds = []
        for session in (full, variant)[:: 1 if number % 2 else -1]:
            started = time.thread_time()
            session.run(["probabilities"], {"image": images})
            seconds.append(time.thread_time() - started)
        own, other = seconds if number % 2 else seconds[::-1]
        ratios.append(own / max(other, 1e-9))
    tenths = statistics.quantiles(ratios[2:], n=10)
    return {"median": statistics.median(ratios[2:]), "low": tenths[0], "high": tenths[-1]}


def _reasons(report: dict, min_agreement: float) -> list[str]:
    """Why it may not be deployed; empty where it may."""
    found = []
    if report["agreement"] < min_agreement:
        found.append(f"agrees on {report['agreement']:.2%} of the labels, fewer than variants.min_agreement")
    if report["difference"]["high"] < 0:
        found.append(f"is less accurate by {-report['difference']['difference']:.2%}, which is beyond noise")
    return found
