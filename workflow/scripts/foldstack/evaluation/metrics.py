"""Scores of class probabilities, all by scikit-learn.

`labels` is (N,) int64, `probabilities` (N, C) float64 with rows that sum to 1. Macro figures are means over the classes
that have a sample in `labels`: for a class without one, recall and average precision do not exist. With N = 0 every
score is NaN, and so are the top-k scores of a data set with k classes or fewer.
"""

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    cohen_kappa_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

CORE = ("accuracy", "precision", "recall", "f1", "map", "log_loss")
AVERAGES = tuple(f"{name}_{average}" for average in ("micro", "weighted") for name in ("precision", "recall", "f1"))
METRICS = (*CORE, "balanced_accuracy", *AVERAGES, "roc_auc", "brier", "kappa", "top_3", "top_5")


def scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """{metric: value} for METRICS.

    `precision`, `recall` (with one label a sample the same as `balanced_accuracy`), `f1`, `map` (mean average
    precision) and `roc_auc` (one class against the rest) are macro means; the micro averages all equal `accuracy`.
    """
    if len(labels) == 0:
        return dict.fromkeys(METRICS, float("nan"))
    classes, predicted = np.arange(probabilities.shape[1]), probabilities.argmax(axis=1)
    found = core_scores(labels, probabilities) | {"balanced_accuracy": float(balanced_accuracy(labels, predicted))}
    for average in ("micro", "weighted"):
        values = precision_recall_fscore_support(labels, predicted, labels=classes, average=average, zero_division=0)
        found |= {f"{n}_{average}": float(v) for n, v in zip(("precision", "recall", "f1"), values[:3], strict=True)}
    found["roc_auc"] = float(np.mean(_one_against_rest(roc_auc_score, labels, probabilities, both=True)))
    found["brier"] = float(brier_score_loss(labels, probabilities, labels=classes))
    found["kappa"] = _kappa(labels, predicted)
    for k in (3, 5):
        found[f"top_{k}"] = (
            float(top_k_accuracy_score(labels, probabilities, k=k, labels=classes)) if k < len(classes) else np.nan
        )
    return found


def core_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """{metric: value} for CORE: what every single run is scored by."""
    if len(labels) == 0:
        return dict.fromkeys(CORE, float("nan"))
    classes, predicted, present = np.arange(probabilities.shape[1]), probabilities.argmax(axis=1), np.unique(labels)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, labels=present, average="macro", zero_division=0
    )
    return {
        "accuracy": float(np.mean(predicted == labels)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "map": float(np.mean(_one_against_rest(average_precision_score, labels, probabilities))),
        "log_loss": float(log_loss(labels, probabilities, labels=classes)),
    }


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean recall over the classes that have a sample, as `sklearn.metrics.balanced_accuracy_score`.

    Not by that function, which warns wherever a class is predicted that has no sample.
    """
    present = np.unique(labels)
    return np.mean([np.mean(predicted[labels == i] == i) for i in present])


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


def _one_against_rest(score, labels: np.ndarray, probabilities: np.ndarray, both: bool = False) -> list[float]:
    """`score` of each class with a sample; with `both`, of those with a sample of another class too; else [NaN]."""
    chosen = [i for i in np.unique(labels) if not both or np.any(labels != i)]
    return [score(labels == i, probabilities[:, i]) for i in chosen] or [float("nan")]


def _kappa(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Cohen's kappa; NaN where all labels and predictions are one class."""
    one = len(np.unique(np.concatenate([labels, predicted]))) == 1
    return float("nan") if one else float(cohen_kappa_score(labels, predicted))


def _average_precision(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(C,) one-vs-rest average precision; NaN for a class without a sample."""
    found = np.full(probabilities.shape[1], np.nan)
    found[np.unique(labels)] = _one_against_rest(average_precision_score, labels, probabilities)
    return found
