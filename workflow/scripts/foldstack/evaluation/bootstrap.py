"""Bootstrap over samples (Efron, 1979): every score of every contender on the same resamples, so that differences are
paired.

A resample is a row of counts: how often each sample was drawn. Scores are computed from the counts, which is the same
as scoring the drawn rows and far quicker; each equals scikit-learn's on those rows. Classes without a sample in a
resample are left out of its macro means.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

COVERAGE = 95
RANKED = ("map", "roc_auc")
# Scores by rank need a pass over all samples for each class and resample. Their intervals are 1.96 standard errors of
# this many resamples (the error of a standard error is then 5 %), and are left out where even that takes too long.
RANKED_RESAMPLES = 200
RANKED_CELLS = 400_000
CHUNK_CELLS = 20_000_000
TINY = np.finfo(np.float64).eps


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
        """{contender: {metric: (R,)}} from {contender: (N, C)}; RANKED from fewer resamples, or only with `ranked`."""
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
                    parts |= by_rank(self.labels, values, counts[:, :left])
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
    """{metric: [low, high]} at 95 %: percentiles of the resampled scores; for RANKED the score ± 1.96 of their sd."""
    found = {}
    for metric, values in drawn.items():
        values = values[np.isfinite(values)]
        if metric not in scores or not np.isfinite(scores[metric]) or len(values) < 2:
            continue
        if metric in RANKED:
            reach = 1.96 * float(values.std(ddof=1))
            found[metric] = [max(0.0, scores[metric] - reach), min(1.0, scores[metric] + reach)]
        else:
            found[metric] = percentiles(values)
    return found


def difference(first: dict, second: dict, drawn_first: dict, drawn_second: dict, metric: str) -> dict[str, float]:
    """`difference`, `low` and `high` of a score of one contender less that of another, on the same resamples."""
    if metric not in drawn_first:
        return dict.fromkeys(("difference", "low", "high"), float("nan"))
    between = drawn_first[metric] - drawn_second[metric]
    value = first[metric] - second[metric]
    if metric in RANKED:
        reach = 1.96 * float(np.std(between, ddof=1))
        return {"difference": value, "low": value - reach, "high": value + reach}
    low, high = percentiles(between)
    return {"difference": value, "low": low, "high": high}


def percentiles(drawn: np.ndarray) -> list[float]:
    """[low, high]: the middle 95 % of the drawn values."""
    tail = (100 - COVERAGE) / 2
    return [float(value) for value in np.percentile(drawn, [tail, 100 - tail])]


def _by_counting(labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """{metric: (R,)} of all metrics but RANKED from counts (N, R)."""
    n, classes = probabilities.shape
    true = np.clip(probabilities[np.arange(n), labels], TINY, 1)
    one_hot = np.arange(classes) == labels[:, None]
    brier = ((probabilities - one_hot) ** 2).sum(axis=1) / (2 if classes == 2 else 1)
    # The order in which scikit-learn's top_k_accuracy_score breaks ties.
    order = np.argsort(probabilities, axis=1, kind="stable")[:, ::-1]
    values = {"log_loss": -np.log(true), "brier": brier}
    values |= {f"top_{k}": (order[:, :k] == labels[:, None]).any(axis=1) for k in (3, 5) if k < classes}
    with threadpool_limits(1):  # the order of a sum, and with it the last bits, may depend on the number of threads
        means = np.stack([np.asarray(value, np.float64) for value in values.values()]) @ counts / n
    found = dict(zip(values, means, strict=True))
    return found | _by_confusion(labels, probabilities.argmax(axis=1), classes, counts)


def _by_confusion(labels: np.ndarray, predicted: np.ndarray, classes: int, counts: np.ndarray) -> dict[str, np.ndarray]:
    """{metric: (R,)}: what the confusion matrix of each resample says."""
    n = len(labels)
    support, given, hits = (
        _sums(rows, keys, classes, counts)
        for rows, keys in (
            (np.arange(n), labels),
            (np.arange(n), predicted),
            (np.flatnonzero(labels == predicted), labels[labels == predicted]),
        )
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall, f1 = (
            np.where(below > 0, above / below, 0.0)
            for above, below in ((hits, given), (hits, support), (2 * hits, given + support))
        )
        present = support > 0
        accuracy = hits.sum(axis=0) / n
        chance = (given * support).sum(axis=0) / n**2
        kappa = (accuracy - chance) / (1 - chance)
    found = {"accuracy": accuracy, "kappa": kappa}
    for name, values in {"precision": precision, "recall": recall, "f1": f1}.items():
        found[name] = (values * present).sum(axis=0) / present.sum(axis=0)
        found[f"{name}_weighted"] = (values * support).sum(axis=0) / n
        found[f"{name}_micro"] = accuracy
    return found | {"balanced_accuracy": found["recall"]}


def by_rank(labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """{"map", "roc_auc": (R,)}: macro means over classes, from counts (N, R)."""
    total = counts.sum(axis=0)
    precision, area = [], []
    for i in np.unique(labels):
        positive, everyone = _by_threshold(labels == i, probabilities[:, i], counts)
        hits, drawn = np.cumsum(positive, axis=0), np.cumsum(everyone, axis=0)
        hits, drawn = hits[1::2], drawn[1::2]  # at the end of each block of equal scores that holds a positive
        positive, everyone = positive[1::2], everyone[1::2]
        here = positive.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision.append(np.where(drawn > 0, positive * hits / drawn, 0).sum(axis=0) / here)
            # Negatives below a block, and half of those within it (Mann and Whitney, 1947).
            below = (total - here) - (drawn - hits)
            area.append((positive * (below + (everyone - positive) / 2)).sum(axis=0) / (here * (total - here)))
    return {"map": _mean(precision), "roc_auc": _mean(area)}


def _by_threshold(positive: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drawn positives and drawn samples by falling score.

    Rows 1, 3, ... are blocks of equal scores that hold a positive, rows 0, 2, ... what lies between them.
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
    """Sums of the rows of (N, R) before bounds[0], between each two bounds; rows behind the last bound are left out."""
    edges = np.r_[0, bounds]
    sums = np.add.reduceat(np.concatenate([values, np.zeros_like(values[:1])]), edges, axis=0, dtype=np.float64)[:-1]
    sums[edges[:-1] == edges[1:]] = 0  # reduceat gives the row itself for an empty segment
    return sums


def _sums(rows: np.ndarray, keys: np.ndarray, classes: int, counts: np.ndarray) -> np.ndarray:
    """(C, R) float64: counts of `rows`, summed by their key."""
    shape = (classes, len(counts))
    return csr_array((np.ones(len(rows), np.float64), (keys, rows)), shape=shape) @ counts.astype(np.float64)


def _mean(by_class: list[np.ndarray]) -> np.ndarray:
    """(R,) mean over the classes for which the figure exists in that resample."""
    table = np.stack(by_class)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
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
