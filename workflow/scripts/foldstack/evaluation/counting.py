"""What many resamples are scored from at once: counts by class.

A resample is a column of `counts`, (N, R): how often each of the N samples was drawn. Scoring these counts is the same
as scoring the drawn rows, and far quicker.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array


@dataclass(frozen=True)
class ClassCounts:
    """The margins and the diagonal of the confusion matrix of each resample.

    Attributes:
        n: samples of a resample.
        support, predicted, hits: (C, R) float64; samples of a class, samples it was predicted for, and those that are
            both.
    """

    n: int
    support: np.ndarray
    predicted: np.ndarray
    hits: np.ndarray


def by_class(
    labels: np.ndarray, predicted: np.ndarray, n_classes: int, counts: np.ndarray | None = None
) -> ClassCounts:
    """From labels and predicted classes (N,) and counts (N, R); without counts those of the samples as they are."""
    # One pass over the counts: hits under their class, mistakes under the class that was predicted and, apart from it,
    # under the class that it should have been.
    n, wrong = len(labels), np.flatnonzero(labels != predicted)
    rows = np.concatenate([np.where(labels == predicted, labels, n_classes + labels), 2 * n_classes + predicted[wrong]])
    columns = np.concatenate([np.arange(n), wrong])
    counts = np.ones((n, 1)) if counts is None else counts
    sums = csr_array((np.ones(len(rows), counts.dtype), (rows, columns)), shape=(3 * n_classes, n)) @ counts
    hits, missed, mistaken = sums.astype(np.float64).reshape(3, n_classes, -1)
    return ClassCounts(n, support=hits + missed, predicted=hits + mistaken, hits=hits)
