"""Are an ensemble's probabilities calibrated, would a temperature calibrate them, and which thresholds to use.

Nothing here changes a prediction: it is only reported, and whoever deploys decides.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import brier_score_loss, precision_recall_curve

from foldstack.probabilities import log_loss, temperature, with_temperature

BINS = 15


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> dict:
    """Expected calibration error, Brier score, log-loss, and the bins of a reliability diagram of the predicted class.

    ECE is the mean over samples of |accuracy - confidence| of their bin (Guo, Pleiss, Sun and Weinberger, On
    Calibration of Modern Neural Networks, 2017), in BINS bins of equal width.

    Returns:
        `ece`, `brier`, `log_loss`, `bins`: `low`, `high`, `samples`, `confidence` and `accuracy` of those with samples.
    """
    if len(labels) == 0:
        return {"ece": float("nan"), "brier": float("nan"), "log_loss": float("nan"), "bins": []}
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(index, minlength=BINS)
    sums = [np.bincount(index, weights=values, minlength=BINS) for values in (confidence, hit)]
    bins = [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "samples": int(count[i]),
            "confidence": float(sums[0][i] / count[i]),
            "accuracy": float(sums[1][i] / count[i]),
        }
        for i in np.flatnonzero(count)
    ]
    return {
        "ece": float(np.abs(sums[1] - sums[0]).sum() / len(labels)),
        "brier": float(brier_score_loss(labels, probabilities, labels=np.arange(probabilities.shape[1]))),
        "log_loss": float(log_loss(labels, probabilities)),
        "bins": bins,
    }


def before_and_after(labels, probabilities, folds, test_labels, test) -> dict:
    """`temperature` and, for `oof` and `test`, the `reliability` `before` and `after` it.

    The out-of-fold rows of a fold get the temperature of the other folds' rows; the test split that of all of them.
    """
    cooled = np.empty_like(probabilities)
    for fold in np.unique(folds):
        held_out = folds == fold
        cooled[held_out] = with_temperature(
            probabilities[held_out], temperature(labels[~held_out], probabilities[~held_out])
        )
    value = temperature(labels, probabilities)
    parts = {
        "oof": (labels, probabilities, cooled),
        "test": (test_labels, test, with_temperature(test, value) if len(test) else test),
    }
    return {"temperature": value} | {
        part: {"before": reliability(truth, before), "after": reliability(truth, after)}
        for part, (truth, before, after) in parts.items()
    }


def thresholds(labels, probabilities, test_labels, test, classes: Sequence[str], target: dict) -> list[dict]:
    """One threshold a class on its probability, chosen on the out-of-fold rows for a precision or a recall.

    Args:
        target: `precision` and `recall`, one of them a number, the other None; both None give no rows.

    Returns:
        A row a class: `class`, `threshold` (None where no threshold reaches the target), and for `oof` and `test`
        `precision`, `recall` and `chosen` (samples at or above the threshold). Of the thresholds that reach a precision
        the one of the highest recall is taken; of those that reach a recall, the one of the highest precision.
    """
    if target["precision"] is None and target["recall"] is None:
        return []
    rows = []
    for i, name in enumerate(classes):
        value = _threshold(labels == i, probabilities[:, i], **target)
        parts = {"oof": (labels, probabilities), "test": (test_labels, test)}
        outcome = {part: _outcome(truth == i, table[:, i], value) for part, (truth, table) in parts.items()}
        rows.append({"class": name, "threshold": value} | outcome)
    return rows


def _threshold(positive: np.ndarray, scores: np.ndarray, precision: float | None, recall: float | None) -> float | None:
    if not positive.any():
        return None
    precisions, recalls, values = precision_recall_curve(positive, scores)
    precisions, recalls = precisions[:-1], recalls[:-1]  # the last point, precision 1 and recall 0, has no threshold
    wanted = recalls >= recall if precision is None else precisions >= precision
    if not wanted.any():
        return None
    preferred = precisions if precision is None else recalls
    reached = np.flatnonzero(wanted & (preferred == preferred[wanted].max()))
    return float(values[reached[-1]])


def _outcome(positive: np.ndarray, scores: np.ndarray, threshold: float | None) -> dict:
    if threshold is None:
        return {"precision": None, "recall": None, "chosen": None}
    chosen = scores >= threshold
    hits = int((chosen & positive).sum())
    return {
        "precision": hits / int(chosen.sum()) if chosen.any() else None,
        "recall": hits / int(positive.sum()) if positive.any() else None,
        "chosen": int(chosen.sum()),
    }
