"""Scores of each class on its own, and which classes are confused.

`labels` is (N,) int64, `probabilities` (N, C) float64 with rows that sum to 1.
"""

import numpy as np
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support


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


def _average_precision(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(C,) one-vs-rest average precision; NaN for a class without a sample."""
    found = np.full(probabilities.shape[1], np.nan)
    for i in np.unique(labels):
        found[i] = average_precision_score(labels == i, probabilities[:, i])
    return found
