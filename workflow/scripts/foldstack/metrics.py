"""Scores of class probabilities, by scikit-learn, with bootstrap intervals.

`labels` is (N,) int64, `probabilities` (N, C) float64 with rows that sum to 1. Macro figures are means over the classes
that have a sample in `labels`: for a class without one, recall and average precision do not exist. With N = 0 every
score is NaN.
"""

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)

METRICS = ("accuracy", "precision", "recall", "f1", "map", "log_loss")
COVERAGE = 95


def scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """{metric: value} for METRICS; precision, recall, f1 and map (mean average precision) are macro means."""
    if len(labels) == 0:
        return dict.fromkeys(METRICS, float("nan"))
    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    present = np.unique(labels)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=present, average="macro", zero_division=0
    )
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "map": float(np.mean(_average_precision(labels, probabilities)[present])),
        "log_loss": float(log_loss(labels, probabilities, labels=classes)),
    }


def per_class(labels: np.ndarray, probabilities: np.ndarray, classes) -> list[dict]:
    """One row a class: `class`, `support`, `precision`, `recall`, `f1`, `average_precision`; None where undefined."""
    if len(labels) == 0:
        return []
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=np.arange(len(classes)), zero_division=np.nan
    )
    columns = {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "average_precision": _average_precision(labels, probabilities),
    }
    return [
        {"class": name, "support": int(support[i])}
        | {key: None if np.isnan(column[i]) else float(column[i]) for key, column in columns.items()}
        for i, name in enumerate(classes)
    ]


def confusion(labels: np.ndarray, probabilities: np.ndarray) -> list[list[int]]:
    """(C, C) counts: a row is a true class, a column a predicted one."""
    if len(labels) == 0:
        return []
    classes = np.arange(probabilities.shape[1])
    return confusion_matrix(labels, probabilities.argmax(axis=1), labels=classes).tolist()


def accuracy_interval(labels: np.ndarray, probabilities: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval (Efron, 1979) of the accuracy over samples.

    The hits in a resample of N rows with a share p of hits are exactly Binomial(N, p), so that is what is drawn.
    """
    if len(labels) == 0:
        return float("nan"), float("nan")
    hits = probabilities.argmax(axis=1) == labels
    drawn = np.random.default_rng(seed).binomial(len(hits), hits.mean(), size=resamples) / len(hits)
    return _percentiles(drawn)


def accuracy_difference(
    labels: np.ndarray, probabilities: np.ndarray, reference: np.ndarray, resamples: int, seed: int
) -> dict[str, float]:
    """Accuracy of `probabilities` less that of `reference`, with the 95 % interval of a paired bootstrap.

    A sample is a gain (only the first is right), a loss (only the reference is), or neither; the numbers of gains and
    losses in a resample of N rows are exactly multinomial.
    """
    if len(labels) == 0:
        return dict.fromkeys(("difference", "low", "high"), float("nan"))
    right, reference_right = (table.argmax(axis=1) == labels for table in (probabilities, reference))
    gains, losses = np.mean(right & ~reference_right), np.mean(~right & reference_right)
    shares = [gains, losses, max(0.0, 1 - gains - losses)]
    drawn = np.random.default_rng(seed).multinomial(len(labels), shares, size=resamples)
    low, high = _percentiles((drawn[:, 0] - drawn[:, 1]) / len(labels))
    return {"difference": float(gains - losses), "low": low, "high": high}


def _average_precision(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(C,) one-vs-rest average precision; NaN for a class without a sample."""
    return np.array(
        [
            average_precision_score(labels == i, probabilities[:, i]) if np.any(labels == i) else np.nan
            for i in range(probabilities.shape[1])
        ]
    )


def _percentiles(drawn: np.ndarray) -> tuple[float, float]:
    tail = (100 - COVERAGE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)
