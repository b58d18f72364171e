"""The metrics: scores of class probabilities, each equal to scikit-learn's.

`labels` is (N,) int64, `probabilities` (N, C) float64 with rows that sum to 1. Macro figures are means over the classes
that have a sample in `labels`: for a class without one, recall and average precision do not exist.

A new metric is one entry of METRICS, and its scikit-learn equivalent in tests/unit/evaluation/test_metrics.py. It is
then in metrics.json, leaderboard.csv, the leaderboard, the report, the model card, `make compare` and `make verify`.
"""

from collections.abc import Callable, Iterable

import numpy as np

from foldstack.evaluation import counting, ranks
from foldstack.evaluation import outcome as outcomes
from foldstack.evaluation.counting import ClassCounts
from foldstack.evaluation.metric import Metric, OfSamples
from foldstack.evaluation.outcome import Outcome
from foldstack.evaluation.prediction import Table
from foldstack.probabilities import TINY


def outcome(labels: np.ndarray, table: Table, names: Iterable[str] | None = None) -> Outcome:
    """What the scores by all METRICS or by `names` follow from."""
    return outcomes.outcome(labels, table, [METRICS[name] for name in (METRICS if names is None else names)])


def scores_of(found: Outcome) -> dict[str, float]:
    """{metric: value} of those it is for; NaN without samples and where a metric needs more classes."""
    counts = counting.by_class(found.labels, found.predicted, found.n_classes)
    return {name: _score(METRICS[name], found, counts) for name in found.metrics}


def scores(labels: np.ndarray, table: Table, names: Iterable[str] | None = None) -> dict[str, float]:
    """The same from labels (N,) and probabilities (N, C), of all METRICS or of `names`."""
    return scores_of(outcome(labels, table, names))


def core_scores(labels: np.ndarray, table: Table) -> dict[str, float]:
    """{metric: value} of those that each run is scored by."""
    return scores(labels, table, [metric.name for metric in METRICS.values() if metric.every_run])


def _score(metric: Metric, found: Outcome, counts: ClassCounts) -> float:
    if not len(found.labels) or not metric.exists(found.n_classes):
        return float("nan")
    if metric.of_counts:
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(metric.of_counts(counts)[0])
    if metric.of_samples:
        return float(found.values[metric.name].mean())
    by_class = found.by_class[metric.name]
    known = by_class[np.isfinite(by_class)]
    return float(known.mean()) if len(known) else float("nan")


# Of samples: functions of labels (n,) and probabilities (n, C) to (n,).


def _top(k: int) -> OfSamples:
    """The label is among the k most probable classes; of equals the last come first, as in scikit-learn."""

    def of_samples(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        own = probabilities[np.arange(len(labels)), labels][:, None]
        later = np.arange(probabilities.shape[1]) > labels[:, None]
        return ((probabilities > own) | ((probabilities == own) & later)).sum(axis=1) < k

    return of_samples


def _loss_of_samples(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], TINY, 1))


def _brier_of_samples(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    n_classes = probabilities.shape[1]
    off = probabilities.copy()
    off[np.arange(len(labels)), labels] -= 1
    return (off**2).sum(axis=1) / (2 if n_classes == 2 else 1)


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


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "Accuracy", of_counts=_accuracy_of_counts, every_run=True),
        Metric("balanced_accuracy", "Balanced accuracy", of_counts=_macro(_recall), every_run=True, column=False),
        Metric(
            "precision", "Precision (macro)",
            of_counts=_macro(_precision), every_run=True, column=False, listed=False,
        ),
        Metric("f1", "F1 (macro)", of_counts=_macro(_f1), every_run=True),
        Metric("map", "mAP", of_ranks=ranks.average_precision, every_run=True),
        Metric("roc_auc", "ROC-AUC (macro)", of_ranks=ranks.roc_auc, column=False),
        Metric(
            "log_loss", "Log-loss",
            of_samples=_loss_of_samples, higher_is_better=False, share=False, every_run=True,
        ),
        Metric(
            "brier", "Brier score",
            of_samples=_brier_of_samples, higher_is_better=False, share=False, column=False,
        ),
        Metric("mcc", "MCC", of_counts=_mcc_of_counts, share=False),
        Metric("kappa", "Cohen’s kappa", of_counts=_kappa_of_counts, share=False, column=False, listed=False),
        Metric(
            "precision_weighted", "Precision (weighted)",
            of_counts=_weighted(_precision), column=False, listed=False,
        ),
        Metric("f1_weighted", "F1 (weighted)", of_counts=_weighted(_f1), column=False, listed=False),
        Metric("top_3", "Top-3 accuracy", of_samples=_top(3), least_classes=4, column=False, listed=False),
        Metric("top_5", "Top-5 accuracy", of_samples=_top(5), least_classes=6, column=False, listed=False),
    )
}  # fmt: skip
