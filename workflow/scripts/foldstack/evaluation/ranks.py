"""One class against the rest, by decreasing probability of the class: average precision and ROC-AUC, and their errors.

A figure's standard error comes from its influence function (the infinitesimal jackknife): psi(i) is by how much the
figure moves, per share of weight, when sample i gets more weight, and the figure's variance is the sum of psi(i)² / N².
The psi of a mean of figures is the mean of their psi, that of a difference of two contenders the difference of theirs:
both are paired by sample. Nothing is resampled.

(F. R. Hampel, The Influence Curve and its Role in Robust Estimation, 1974; for ROC-AUC it gives the structural
components of E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson, Comparing the Areas under Two or More Correlated
Receiver Operating Characteristic Curves, 1988.)
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranks:
    """The samples between the K distinct probabilities that samples of the class have.

    Attributes:
        positive: (N,) bool; is of the class. At least one is.
        place: (N,) how many of the K probabilities are at or below the sample's own, 0 to K.
        tied: (N,) bool; the sample has one of the K itself.
        hits, samples: (K + 1,) samples of the class, and all samples, that have the k-th probability; 0 for k = 0.
        above: (K + 1,) all samples at or above the k-th probability.
    """

    positive: np.ndarray
    place: np.ndarray
    tied: np.ndarray
    hits: np.ndarray
    samples: np.ndarray
    above: np.ndarray


def ranks(positive: np.ndarray, scores: np.ndarray) -> Ranks:
    """From `positive` (N,) bool, with at least one, and `scores` (N,)."""
    levels, hits = np.unique(scores[positive], return_counts=True)
    place = np.searchsorted(levels, scores, side="right")
    tied = np.r_[-np.inf, levels][place] == scores
    size = len(levels) + 1
    return Ranks(
        positive,
        place,
        tied,
        hits=np.r_[0, hits],
        samples=np.bincount(place[tied], minlength=size),
        above=np.cumsum(np.bincount(place, minlength=size)[::-1])[::-1],
    )


def average_precision(ranks: Ranks) -> tuple[float, np.ndarray]:
    """The mean over the samples of the class of the precision among all that are at least as probable, and its psi.

    With p the share of the class, g(k) that precision at the k-th probability and B(k) the share of samples at or above
    it, a sample at place j moves it by
    (positive * (g(j) - value + sum over k ≤ j of w(k)) - sum over k ≤ j of w(k) * g(k)) / p,
    where w(k) is the share of samples that are of the class and have the k-th probability, over B(k).
    """
    n, positives = len(ranks.positive), ranks.hits.sum()
    precision = np.cumsum(ranks.hits[::-1])[::-1] / ranks.above
    value = float(ranks.hits @ precision / positives)
    weights = ranks.hits / ranks.above
    gained, lost = np.cumsum(weights), np.cumsum(weights * precision)
    moved = np.where(ranks.positive, (precision - value + gained)[ranks.place], 0.0) - lost[ranks.place]
    return value, moved * (n / positives)


def roc_auc(ranks: Ranks) -> tuple[float, np.ndarray]:
    """How often a sample of the class is more probable than one of the rest, equals counting half, and its psi.

    NaN where all samples are of the class. A sample moves it by how far its own share of won comparisons is from the
    value, over the share of samples on its side.
    """
    n, positives = len(ranks.positive), int(ranks.hits.sum())
    negatives = n - positives
    if negatives == 0:
        return float("nan"), np.zeros(n)
    others = ranks.samples - ranks.hits  # of the rest, with the k-th probability
    hits_above = np.cumsum(ranks.hits[::-1])[::-1]
    below = negatives - (ranks.above - hits_above)
    won = (below + others / 2) / negatives  # by a sample of the class with the k-th probability
    value = float(ranks.hits @ won / positives)
    lost = (positives - np.cumsum(ranks.hits)) / positives  # by one of the rest between the k-th and the next
    against = lost[ranks.place] + np.where(ranks.tied, ranks.hits[ranks.place] / (2 * positives), 0.0)
    own = np.where(ranks.positive, won[ranks.place], against)
    return value, (own - value) * np.where(ranks.positive, n / positives, n / negatives)
