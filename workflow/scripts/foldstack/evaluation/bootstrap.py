"""Bootstrap over samples (Efron, 1979): every metric of every contender on the same resamples, so that differences are
paired.

A resample is a column of counts: how often each sample was drawn. Each score equals that of the drawn rows. Classes
without a sample in a resample are left out of its macro means.
"""

from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from foldstack.evaluation import counting
from foldstack.evaluation.metrics import METRICS

COVERAGE = 95
# Ranked metrics need a pass over all samples for each class and resample. Their intervals are 1.96 standard errors of
# this many resamples (the error of a standard error is then 5 %), and are left out where even that takes too long.
RANKED_RESAMPLES = 200
RANKED_CELLS = 400_000
CHUNK_CELLS = 20_000_000


class Bootstrap:
    """Resampled scores of any number of contenders on one set of labels.

    Args:
        labels: (N,) class indices.
        resamples: number of resamples.
        seed: decides the resamples, together with N.
    """

    def __init__(self, labels: np.ndarray, resamples: int, seed: int):
        self.labels, self.resamples, self.seed = labels, resamples, seed

    def scores(self, contenders: dict, ranked: bool = True) -> dict:
        """{contender: {metric: (R,)}} from {contender: (N, C)}; metrics that do not exist for C classes are left out.

        Ranked ones are drawn RANKED_RESAMPLES times; not at all without `ranked` or above RANKED_CELLS = N times C.
        """
        if len(self.labels) == 0:
            return {name: {} for name in contenders}
        cells = {name: len(self.labels) * values.shape[1] for name, values in contenders.items()}
        drawn: dict = {name: {} for name in contenders}
        first = 0
        for counts in self._counts():
            for name, values in contenders.items():
                parts = _by_counting(self.labels, values, counts)
                left = RANKED_RESAMPLES - first
                if ranked and left > 0 and cells[name] <= RANKED_CELLS:
                    parts |= _by_rank(self.labels, values, counts[:, :left])
                for metric, figures in parts.items():
                    drawn[name].setdefault(metric, []).append(figures)
            first += counts.shape[1]
        return {name: {key: np.concatenate(parts) for key, parts in by.items()} for name, by in drawn.items()}

    def means(self, values: np.ndarray) -> np.ndarray:
        """(K, R) means of K values a sample, (K, N), on the resamples."""
        with threadpool_limits(1):
            return np.concatenate([values @ counts / len(self.labels) for counts in self._counts()], axis=1)

    def _counts(self) -> Iterator[np.ndarray]:
        """(N, r) float32 pieces of the (N, resamples) counts, small enough to hold in memory."""
        n = len(self.labels)
        size = max(1, CHUNK_CELLS // n)
        for number, start in enumerate(range(0, self.resamples, size)):
            rng = np.random.default_rng([self.seed, number])
            width = min(size, self.resamples - start)
            rows = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(width))
            yield np.ascontiguousarray(np.stack([row.astype(np.float32) for row in rows], axis=1))


def intervals(scores: dict[str, float], drawn: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """{metric: [low, high]} at 95 %: percentiles of the resampled scores; of a ranked one, the score ± 1.96 sd."""
    found = {}
    for metric, values in drawn.items():
        values = values[np.isfinite(values)]
        if metric not in scores or not np.isfinite(scores[metric]) or len(values) < 2:
            continue
        if METRICS[metric].ranked:
            reach = 1.96 * float(values.std(ddof=1))
            ends = [scores[metric] - reach, scores[metric] + reach]
            found[metric] = [max(0.0, ends[0]), min(1.0, ends[1])] if METRICS[metric].share else ends
        else:
            found[metric] = percentiles(values)
    return found


def difference(first: dict, second: dict, drawn_first: dict, drawn_second: dict, metric: str) -> dict[str, float]:
    """`difference`, `low` and `high` of a score of one contender less that of another; NaN where one was not resampled.

    Paired, if both were drawn from the same resamples.
    """
    if metric not in drawn_first or metric not in drawn_second:
        return dict.fromkeys(("difference", "low", "high"), float("nan"))
    between = drawn_first[metric] - drawn_second[metric]
    value = first[metric] - second[metric]
    if METRICS[metric].ranked:
        reach = 1.96 * float(np.std(between, ddof=1))
        return {"difference": value, "low": value - reach, "high": value + reach}
    low, high = percentiles(between)
    return {"difference": value, "low": low, "high": high}


def percentiles(drawn: np.ndarray) -> list[float]:
    """[low, high]: the middle 95 % of the drawn values."""
    tail = (100 - COVERAGE) / 2
    return [float(value) for value in np.percentile(drawn, [tail, 100 - tail])]


def _by_counting(labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """{metric: (R,)} of all metrics that are not ranked, from counts (N, R)."""
    n, n_classes = probabilities.shape
    chosen = [metric for metric in METRICS.values() if metric.exists(n_classes) and not metric.ranked]
    values = {metric.name: metric.of_samples(labels, probabilities) for metric in chosen if metric.of_samples}
    with threadpool_limits(1):  # the order of a sum, and with it the last bits, may depend on the number of threads
        means = np.stack([np.asarray(value, np.float64) for value in values.values()]) @ counts / n
    found = dict(zip(values, means, strict=True))
    classes = counting.by_class(labels, probabilities.argmax(axis=1), n_classes, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return found | {metric.name: metric.of_counts(classes) for metric in chosen if metric.of_counts}


def _by_rank(labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """{metric: (R,)} of the ranked metrics: means over the classes for which they exist in a resample."""
    known = [metric for metric in METRICS.values() if metric.exists(probabilities.shape[1])]
    chosen = {metric.name: metric.of_ranks for metric in known if metric.of_ranks is not None}
    by_class: dict[str, list] = {name: [] for name in chosen}
    with np.errstate(invalid="ignore", divide="ignore"):
        for ranks in counting.by_rank(labels, probabilities, counts):
            for name, of_ranks in chosen.items():
                by_class[name].append(of_ranks(ranks))
        return {name: _mean_of_known(np.stack(rows)) for name, rows in by_class.items()}


def _mean_of_known(table: np.ndarray) -> np.ndarray:
    """(R,) from (C, R)."""
    known = np.isfinite(table)
    return np.where(known, table, 0).sum(axis=0) / known.sum(axis=0)


def accuracy_difference(
    labels: np.ndarray, probabilities: np.ndarray, reference: np.ndarray, resamples: int, seed: int
) -> dict[str, float]:
    """Accuracy of `probabilities` less that of `reference`, paired; quick enough for hundreds of contenders.

    A sample is a gain (only the first is right), a loss (only the reference is), or neither; the numbers of gains and
    losses in a resample of N rows are exactly multinomial, so they are what is drawn.
    """
    right, reference_right = (table.argmax(axis=1) == labels for table in (probabilities, reference))
    gains, losses = np.mean(right & ~reference_right), np.mean(~right & reference_right)
    shares = [gains, losses, max(0.0, 1 - gains - losses)]
    drawn = np.random.default_rng(seed).multinomial(len(labels), shares, size=resamples)
    low, high = percentiles((drawn[:, 0] - drawn[:, 1]) / len(labels))
    return {"difference": float(gains - losses), "low": low, "high": high}
