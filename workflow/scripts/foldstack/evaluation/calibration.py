"""Are an ensemble's probabilities calibrated, would a temperature calibrate them, and which thresholds to use.

Nothing here changes a prediction: it is only reported, and whoever deploys decides.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import precision_recall_curve

from foldstack.evaluation import metrics
from foldstack.evaluation.outcome import Outcome
from foldstack.evaluation.prediction import Table, by_class
from foldstack.evaluation.temperatures import Cooled, temperatures
from foldstack.jobs.progress import steps

BINS = 15
MEASURES = ("brier", "log_loss")


def reliability(labels: np.ndarray, table: Table) -> dict:
    """Expected calibration error, Brier score, log-loss, and the bins of a reliability diagram of the predicted class.

    ECE is the mean over samples of |accuracy - confidence| of their bin (Guo, Pleiss, Sun and Weinberger, On
    Calibration of Modern Neural Networks, 2017), in BINS bins of equal width.

    Returns:
        `ece`, `brier`, `log_loss`, `bins`: `low`, `high`, `samples`, `confidence` and `accuracy` of those with samples.
    """
    found = metrics.outcome(labels, table, MEASURES)
    count, confidence, hits = _bins(found)
    bins = [
        {
            "low": i / BINS,
            "high": (i + 1) / BINS,
            "samples": int(count[i]),
            "confidence": float(confidence[i] / count[i]),
            "accuracy": float(hits[i] / count[i]),
        }
        for i in np.flatnonzero(count)
    ]
    return {"ece": expected_error(found)} | metrics.scores_of(found) | {"bins": bins}


def expected_error(found: Outcome) -> float:
    """The expected calibration error, as in `reliability`; NaN without samples."""
    if len(found.labels) == 0:
        return float("nan")
    _, confidence, hits = _bins(found)
    return float(np.abs(hits - confidence).sum() / len(found.labels))


def before_and_after(labels: np.ndarray, oof: Table, folds: np.ndarray, test_labels: np.ndarray, test: Table) -> dict:
    """`temperature` and, for `oof` and `test`, the `reliability` `before` and `after` it.

    The out-of-fold rows of a fold get the temperature of the other folds' rows; the test split that of all of them.
    """
    value, others = temperatures(labels, oof, folds)
    parts = {
        "oof": (labels, oof, Cooled(oof, others[folds])),
        "test": (test_labels, test, Cooled(test, np.full(len(test_labels), value))),
    }
    return {"temperature": value} | {
        part: {"before": reliability(truth, before), "after": reliability(truth, after)}
        for part, (truth, before, after) in parts.items()
    }


def thresholds(
    labels: np.ndarray, oof: Table, test_labels: np.ndarray, test: Table, classes: Sequence[str], target: dict
) -> list[dict]:
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
    everyone = range(len(classes))
    both = zip(by_class(oof, everyone), by_class(test, everyone), strict=True)
    for (i, scores), (_, test_scores) in steps(both, "choosing thresholds", len(classes)):
        value = _threshold(labels == i, scores, **target)
        row = {"class": classes[i], "threshold": value, "oof": _outcome(labels == i, scores, value)}
        rows.append(row | {"test": _outcome(test_labels == i, test_scores, value)})
    return rows


def _bins(found: Outcome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples, summed confidence and hits in each of the BINS."""
    index = np.minimum((found.confidence * BINS).astype(int), BINS - 1)
    weights = None, found.confidence, found.predicted == found.labels
    count, confidence, hits = (np.bincount(index, weights=values, minlength=BINS) for values in weights)
    return count, confidence, hits


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
