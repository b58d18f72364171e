"""What many resamples are scored from at once: counts by class, and counts by decreasing probability.

A resample is a column of `counts`, (N, R): how often each of the N samples was drawn. Scoring these counts is the same
as scoring the drawn rows, and far quicker.
"""

from collections.abc import Iterator
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


@dataclass(frozen=True)
class RankCounts:
    """One class against the rest: the drawn samples by decreasing probability of the class.

    A block is a sequence of equal probabilities with at least one sample of the class.

    Attributes:
        positive, samples: (B, R); samples of the class, and all samples, in a block.
        positive_so_far, samples_so_far: (B, R); the same in a block and above it.
        positives, total: (R,); samples of the class, and all samples.
    """

    positive: np.ndarray
    samples: np.ndarray
    positive_so_far: np.ndarray
    samples_so_far: np.ndarray
    positives: np.ndarray
    total: np.ndarray


def by_class(labels: np.ndarray, predicted: np.ndarray, n_classes: int, counts: np.ndarray) -> ClassCounts:
    """From labels and predicted classes (N,) and counts (N, R)."""
    n, hit = len(labels), labels == predicted
    return ClassCounts(
        n,
        support=_sums(np.arange(n), labels, n_classes, counts),
        predicted=_sums(np.arange(n), predicted, n_classes, counts),
        hits=_sums(np.flatnonzero(hit), labels[hit], n_classes, counts),
    )


def by_rank(labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> Iterator[RankCounts]:
    """One after another for each class that has a sample, since together they may not fit into memory."""
    total = counts.sum(axis=0)
    for i in np.unique(labels):
        positive, samples = _by_threshold(labels == i, probabilities[:, i], counts)
        yield RankCounts(
            positive[1::2],
            samples[1::2],
            np.cumsum(positive, axis=0)[1::2],
            np.cumsum(samples, axis=0)[1::2],
            positives=positive[1::2].sum(axis=0),
            total=total,
        )


def _by_threshold(positive: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drawn positives and drawn samples by decreasing score.

    Rows 1, 3, ... are blocks of equal scores with a positive, rows 0, 2, ... the samples between them.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hit = scores[order], positive[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(ordered)]
    holds = np.add.reduceat(hit, starts, dtype=np.int64) > 0
    bounds = np.stack([starts[holds], ends[holds]], axis=1).ravel()
    drawn = counts[order]
    everyone = _segments(drawn, bounds)
    return _segments(drawn * hit[:, None], bounds), everyone


def _segments(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Sums of the rows of (N, R) before bounds[0], between each two bounds; rows after the last bound are left out."""
    edges = np.r_[0, bounds]
    sums = np.add.reduceat(np.concatenate([values, np.zeros_like(values[:1])]), edges, axis=0, dtype=np.float64)[:-1]
    sums[edges[:-1] == edges[1:]] = 0  # reduceat gives the row itself for an empty segment
    return sums


def _sums(rows: np.ndarray, keys: np.ndarray, n_classes: int, counts: np.ndarray) -> np.ndarray:
    """(C, R) float64: counts of `rows`, summed by their key."""
    shape = (n_classes, len(counts))
    return csr_array((np.ones(len(rows), np.float64), (keys, rows)), shape=shape) @ counts.astype(np.float64)
