"""How sure scores and their differences are, over samples: 95 % intervals, paired for contenders on the same samples.

Scores that are means over samples, or follow from counts by class, are resampled (bootstrap: Efron, 1979), all
contenders on the same resamples; their intervals are percentiles. A resample is a column of counts: how often each
sample was drawn. Each score equals that of the drawn rows. Classes without a sample in a resample are left out of its
macro means.

Ranked scores have intervals of ± 1.96 standard errors from the influence of each sample (`ranks`), since to rank the
samples of every class in every resample takes hours where the classes are many.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from foldstack.evaluation import counting, metrics
from foldstack.evaluation.metrics import METRICS
from foldstack.evaluation.outcome import Outcome
from foldstack.jobs.progress import steps

COVERAGE = 95
CHUNK_CELLS = 20_000_000


@dataclass(frozen=True)
class Scored:
    """The scores of a contender and what their intervals follow from.

    Attributes:
        scores: {metric: value}; NaN where it does not exist.
        drawn: {metric: (R,)} scores of the resamples.
        influence: {metric: (N,)} of each sample on the ranked scores.
        source: what drew the resamples; contenders of one source are paired.
    """

    scores: dict[str, float]
    drawn: dict[str, np.ndarray]
    influence: dict[str, np.ndarray]
    source: "Bootstrap"

    def intervals(self) -> dict[str, list[float]]:
        """{metric: [low, high]} at 95 % of all that exist."""
        found = {}
        for metric, value in self.scores.items():
            if not np.isfinite(value):
                continue
            if metric in self.influence:
                reach = 1.96 * _error(self.influence[metric])
                ends = [value - reach, value + reach]
                found[metric] = [max(0.0, ends[0]), min(1.0, ends[1])] if METRICS[metric].share else ends
            elif np.isfinite(self.drawn[metric]).sum() > 1:
                found[metric] = percentiles(self.drawn[metric][np.isfinite(self.drawn[metric])])
        return found


class Bootstrap:
    """Resampled scores of any number of contenders on one set of labels.

    Args:
        labels: (N,) class indices.
        resamples: number of resamples.
        seed: decides the resamples, together with N.
    """

    def __init__(self, labels: np.ndarray, resamples: int, seed: int):
        self.labels, self.resamples, self.seed = labels, resamples, seed

    def scored(self, outcomes: dict) -> dict:
        """{contender: Scored} from {contender: Outcome}, by the metrics that each outcome is for."""
        drawn: dict = {key: {} for key in outcomes}
        for counts in self._counts():
            exact = counts.astype(np.float64)
            for key, each in outcomes.items():
                for metric, figures in _of_resamples(each, counts, exact).items():
                    drawn[key].setdefault(metric, []).append(figures)
        joined = {
            key: {metric: np.concatenate(parts) for metric, parts in by_metric.items()}
            for key, by_metric in drawn.items()
        }
        return {
            key: Scored(metrics.scores_of(each), joined[key], each.influence, self) for key, each in outcomes.items()
        }

    def means(self, values: np.ndarray) -> np.ndarray:
        """(K, R) means of K values a sample, (K, N), on the resamples."""
        with threadpool_limits(1):
            return np.concatenate([values @ counts / len(self.labels) for counts in self._counts()], axis=1)

    def _counts(self) -> Iterator[np.ndarray]:
        """(N, r) float32 pieces of the (N, resamples) counts, small enough to hold in memory; none without samples."""
        n = len(self.labels)
        size = max(1, CHUNK_CELLS // max(n, 1))
        for number, start in enumerate(steps(range(0, self.resamples if n else 0, size), "resampling")):
            rng = np.random.default_rng([self.seed, number])
            width = min(size, self.resamples - start)
            rows = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(width))
            yield np.ascontiguousarray(np.stack([row.astype(np.float32) for row in rows], axis=1))


def difference(first: Scored, second: Scored, metric: str) -> dict[str, float]:
    """`difference`, `low` and `high` of a score of the first less that of the second; NaN where either does not exist.

    Paired, if both are of one source.
    """
    value = first.scores[metric] - second.scores[metric]
    if not np.isfinite(value):
        return dict.fromkeys(("difference", "low", "high"), float("nan"))
    if metric not in first.influence:
        low, high = percentiles(first.drawn[metric] - second.drawn[metric])
        return {"difference": value, "low": low, "high": high}
    one, other = first.influence[metric], second.influence[metric]
    error = _error(one - other) if first.source is second.source else np.hypot(_error(one), _error(other))
    return {"difference": value, "low": value - 1.96 * error, "high": value + 1.96 * error}


def percentiles(drawn: np.ndarray) -> list[float]:
    """[low, high]: the middle 95 % of the drawn values."""
    tail = (100 - COVERAGE) / 2
    return [float(value) for value in np.percentile(drawn, [tail, 100 - tail])]


def accuracy_difference(
    labels: np.ndarray, predicted: np.ndarray, reference: np.ndarray, resamples: int, seed: int
) -> dict[str, float]:
    """Accuracy of `predicted` less that of `reference`, (N,) each, paired; quick enough for hundreds of contenders.

    A sample is a gain (only the first is right), a loss (only the reference is), or neither; the numbers of gains and
    losses in a resample of N rows are exactly multinomial, so they are what is drawn.
    """
    right, reference_right = predicted == labels, reference == labels
    gains, losses = np.mean(right & ~reference_right), np.mean(~right & reference_right)
    shares = [gains, losses, max(0.0, 1 - gains - losses)]
    drawn = np.random.default_rng(seed).multinomial(len(labels), shares, size=resamples)
    low, high = percentiles((drawn[:, 0] - drawn[:, 1]) / len(labels))
    return {"difference": float(gains - losses), "low": low, "high": high}


def _error(influence: np.ndarray) -> float:
    return float(np.sqrt(np.square(influence).sum())) / len(influence)


def _of_resamples(found: Outcome, counts: np.ndarray, exact: np.ndarray) -> dict[str, np.ndarray]:
    """{metric: (r,)} of all metrics that are not ranked, from counts (N, r), float32 and the same in float64.

    Sums of counts are whole numbers, which float32 holds up to 16 million; other sums are not.
    """
    drawn = {}
    if found.values:
        with threadpool_limits(1):  # the order of a sum, and with it the last bits, may depend on the number of threads
            means = np.stack(list(found.values.values())) @ exact / len(exact)
        drawn = dict(zip(found.values, means, strict=True))
    classes = counting.by_class(found.labels, found.predicted, found.n_classes, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        for metric in (METRICS[name] for name in found.metrics):
            if metric.of_counts and metric.exists(found.n_classes):
                drawn[metric.name] = metric.of_counts(classes)
    return drawn
