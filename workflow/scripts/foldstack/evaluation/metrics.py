"""The metrics: scores of class probabilities, each equal to scikit-learn's.

`labels` is (N,) int64, `probabilities` (N, C) float64 with rows that sum to 1. Macro figures are means over the classes
that have a sample in `labels`: for a class without one, recall and average precision do not exist.

A new metric is one entry of METRICS, and its scikit-learn equivalent in tests/unit/evaluation/test_metrics.py. It is
then in metrics.json, leaderboard.csv, the leaderboard, the report, the model card, `make compare` and `make verify`.
"""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    precision_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from foldstack.evaluation.counting import ClassCounts, RankCounts
from foldstack.evaluation.metric import Metric, OfRows
from foldstack.probabilities import TINY


def scores(labels: np.ndarray, probabilities: np.ndarray, names: Iterable[str] | None = None) -> dict[str, float]:
    """{metric: value} of all METRICS or of `names`; NaN without samples and where a metric needs more classes."""
    return {
        metric.name: float(metric.of_rows(labels, probabilities))
        if len(labels) and metric.exists(probabilities.shape[1])
        else float("nan")
        for metric in (METRICS[name] for name in (METRICS if names is None else names))
    }


def core_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """{metric: value} of those that each run is scored by."""
    return scores(labels, probabilities, [metric.name for metric in METRICS.values() if metric.every_run])


# Of rows: functions of labels (N,) and probabilities (N, C).


def _of_predicted(score) -> OfRows:
    """`score` of labels and predicted classes."""
    return lambda labels, probabilities: score(labels, probabilities.argmax(axis=1))


def _averaged(score, average: str) -> OfRows:
    """scikit-learn's `score` with its averages `macro`, over the classes with a sample, or `weighted`."""

    def of_rows(labels: np.ndarray, probabilities: np.ndarray) -> float:
        among = np.unique(labels) if average == "macro" else np.arange(probabilities.shape[1])
        return score(labels, probabilities.argmax(axis=1), labels=among, average=average, zero_division=0)

    return of_rows


def _one_against_rest(score, both: bool = False) -> OfRows:
    """Mean of `score` over the classes with a sample; with `both`, over those with a sample of another class too."""

    def of_rows(labels: np.ndarray, probabilities: np.ndarray) -> float:
        chosen = [i for i in np.unique(labels) if not both or np.any(labels != i)]
        return np.mean([score(labels == i, probabilities[:, i]) for i in chosen] or [np.nan])

    return of_rows


def _balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Not by scikit-learn's function, which warns wherever a class is predicted that has no sample."""
    return np.mean([np.mean(predicted[labels == i] == i) for i in np.unique(labels)])


def _unless_one_class(score, otherwise: float):
    """`score` of labels and predicted classes; `otherwise` where all are one class, for which it would warn."""
    return lambda labels, predicted: score(labels, predicted) if len(np.unique([labels, predicted])) > 1 else otherwise


def _all_classes_named(score) -> OfRows:
    """scikit-learn's `score`, with the names of all classes, also those without a sample."""
    return lambda labels, probabilities: score(labels, probabilities, labels=np.arange(probabilities.shape[1]))


def _top(k: int) -> dict:
    """The label is among the k most probable classes."""

    def of_samples(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        order = np.argsort(probabilities, axis=1, kind="stable")[:, ::-1]  # ties as in scikit-learn's function
        return (order[:, :k] == labels[:, None]).any(axis=1)

    of_rows = _all_classes_named(partial(top_k_accuracy_score, k=k))
    return {"of_rows": of_rows, "of_samples": of_samples, "least_classes": k + 1}


# Of samples: functions of the same to (N,).


def _loss_of_samples(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], TINY, 1))


def _brier_of_samples(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    n_classes = probabilities.shape[1]
    one_hot = np.arange(n_classes) == labels[:, None]
    return ((probabilities - one_hot) ** 2).sum(axis=1) / (2 if n_classes == 2 else 1)


# Of counts: functions of ClassCounts to (C, R) or (R,).


def _precision(classes: ClassCounts) -> np.ndarray:
    return np.where(classes.predicted > 0, classes.hits / classes.predicted, 0.0)


def _recall(classes: ClassCounts) -> np.ndarray:
    return np.where(classes.support > 0, classes.hits / classes.support, 0.0)


def _f1(classes: ClassCounts) -> np.ndarray:
    both = classes.predicted + classes.support
    return np.where(both > 0, 2 * classes.hits / both, 0.0)


def _macro(by_class: Callable[[ClassCounts], np.ndarray]) -> Callable[[ClassCounts], np.ndarray]:
    def of_counts(classes: ClassCounts) -> np.ndarray:
        present = classes.support > 0
        return (by_class(classes) * present).sum(axis=0) / present.sum(axis=0)

    return of_counts


def _weighted(by_class: Callable[[ClassCounts], np.ndarray]) -> Callable[[ClassCounts], np.ndarray]:
    return lambda classes: (by_class(classes) * classes.support).sum(axis=0) / classes.n


def _accuracy_of_counts(classes: ClassCounts) -> np.ndarray:
    return classes.hits.sum(axis=0) / classes.n


def _kappa_of_counts(classes: ClassCounts) -> np.ndarray:
    chance = (classes.predicted * classes.support).sum(axis=0) / classes.n**2
    return (_accuracy_of_counts(classes) - chance) / (1 - chance)


def _mcc_of_counts(classes: ClassCounts) -> np.ndarray:
    """J. Gorodkin, Comparing two K-category assignments by a K-category correlation coefficient, 2004."""
    n = classes.n
    together = classes.hits.sum(axis=0) * n - (classes.predicted * classes.support).sum(axis=0)
    apart = (n**2 - (classes.predicted**2).sum(axis=0)) * (n**2 - (classes.support**2).sum(axis=0))
    return np.where(apart > 0, together / np.sqrt(apart), 0.0)


# Of ranks: functions of one class's RankCounts to (R,).


def _average_precision_of_ranks(ranks: RankCounts) -> np.ndarray:
    precision = np.where(ranks.samples_so_far > 0, ranks.positive * ranks.positive_so_far / ranks.samples_so_far, 0)
    return precision.sum(axis=0) / ranks.positives


def _roc_auc_of_ranks(ranks: RankCounts) -> np.ndarray:
    """Negatives below a block, and half of those within it (Mann and Whitney, 1947)."""
    negatives = ranks.total - ranks.positives
    below = negatives - (ranks.samples_so_far - ranks.positive_so_far)
    pairs = (ranks.positive * (below + (ranks.samples - ranks.positive) / 2)).sum(axis=0)
    return pairs / (ranks.positives * negatives)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy", "Accuracy",
            of_rows=_of_predicted(lambda labels, predicted: np.mean(predicted == labels)),
            of_counts=_accuracy_of_counts, every_run=True,
        ),
        Metric(
            "balanced_accuracy", "Balanced accuracy",
            of_rows=_of_predicted(_balanced_accuracy), of_counts=_macro(_recall), every_run=True, column=False,
        ),
        Metric(
            "precision", "Precision (macro)",
            of_rows=_averaged(precision_score, "macro"), of_counts=_macro(_precision), every_run=True,
            column=False, listed=False,
        ),
        Metric("f1", "F1 (macro)", of_rows=_averaged(f1_score, "macro"), of_counts=_macro(_f1), every_run=True),
        Metric(
            "map", "mAP",
            of_rows=_one_against_rest(average_precision_score), of_ranks=_average_precision_of_ranks, every_run=True,
        ),
        Metric(
            "roc_auc", "ROC-AUC (macro)",
            of_rows=_one_against_rest(roc_auc_score, both=True), of_ranks=_roc_auc_of_ranks, column=False,
        ),
        Metric(
            "log_loss", "Log-loss",
            of_rows=_all_classes_named(log_loss), of_samples=_loss_of_samples,
            higher_is_better=False, share=False, every_run=True,
        ),
        Metric(
            "brier", "Brier score",
            of_rows=_all_classes_named(brier_score_loss), of_samples=_brier_of_samples,
            higher_is_better=False, share=False, column=False,
        ),
        Metric(
            "mcc", "MCC",
            of_rows=_of_predicted(_unless_one_class(matthews_corrcoef, 0.0)), of_counts=_mcc_of_counts, share=False,
        ),
        Metric(
            "kappa", "Cohen’s kappa",
            of_rows=_of_predicted(_unless_one_class(cohen_kappa_score, np.nan)), of_counts=_kappa_of_counts,
            share=False, column=False, listed=False,
        ),
        Metric(
            "precision_weighted", "Precision (weighted)",
            of_rows=_averaged(precision_score, "weighted"), of_counts=_weighted(_precision),
            column=False, listed=False,
        ),
        Metric(
            "f1_weighted", "F1 (weighted)",
            of_rows=_averaged(f1_score, "weighted"), of_counts=_weighted(_f1), column=False, listed=False,
        ),
        Metric("top_3", "Top-3 accuracy", **_top(3), column=False, listed=False),
        Metric("top_5", "Top-5 accuracy", **_top(5), column=False, listed=False),
    )
}  # fmt: skip
