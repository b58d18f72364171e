"""What all scores of one contender and their intervals follow from; its (N, C) probabilities are needed no longer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foldstack.evaluation.metric import Metric
from foldstack.evaluation.prediction import Table, by_class, by_rows
from foldstack.evaluation.ranks import ranks


@dataclass(frozen=True)
class Outcome:
    """One contender on one set of samples.

    Attributes:
        labels, predicted: (N,) class indices.
        confidence: (N,) the probability of the predicted class.
        n_classes: C.
        metrics: the names of those that it is for.
        values: {metric: (N,)} of those that are means over samples.
        by_class: {metric: (C,)} of the ranked ones, NaN for a class without samples.
        influence: {metric: (N,)} of each sample on their means over the classes, see `ranks`.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    n_classes: int
    metrics: list[str]
    values: dict[str, np.ndarray]
    by_class: dict[str, np.ndarray]
    influence: dict[str, np.ndarray]


def outcome(labels: np.ndarray, table: Table, metrics: Sequence[Metric]) -> Outcome:
    """From labels (N,) and probabilities (N, C)."""
    n, n_classes = table.shape
    chosen = [metric for metric in metrics if n and metric.exists(n_classes)]
    values = {metric.name: np.empty(n) for metric in chosen if metric.of_samples}
    predicted, confidence = np.empty(n, np.int64), np.empty(n)
    for rows, probabilities in by_rows(table):
        predicted[rows], confidence[rows] = probabilities.argmax(axis=1), probabilities.max(axis=1)
        for metric in chosen:
            if metric.of_samples:
                values[metric.name][rows] = metric.of_samples(labels[rows], probabilities)
    of_classes, influence = _ranked(labels, table, [metric for metric in chosen if metric.of_ranks])
    names = [metric.name for metric in metrics]
    return Outcome(labels, predicted, confidence, n_classes, names, values, of_classes, influence)


def _ranked(labels: np.ndarray, table: Table, metrics: Sequence[Metric]) -> tuple[dict, dict]:
    """`by_class` and `influence` of an Outcome."""
    values = {metric.name: np.full(table.shape[1], np.nan) for metric in metrics}
    influence = {metric.name: np.zeros(len(labels)) for metric in metrics}
    for i, scores in by_class(table, np.unique(labels)) if metrics else ():
        positive = labels == i
        found, size = ranks(positive, scores), positive.sum()
        for metric in metrics:
            assert metric.of_ranks is not None
            values[metric.name][i], moved = metric.of_ranks(found)
            moved[positive] *= np.sqrt(size / max(size - 1, 1))  # one less, as in the variance of any small sample
            influence[metric.name] += moved
    for name, moved in influence.items():
        moved /= max(np.isfinite(values[name]).sum(), 1)
    return values, influence
