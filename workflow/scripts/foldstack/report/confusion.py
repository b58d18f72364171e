"""Which classes are taken for each other: the matrix, its colours, its order by likeness, the most confused pairs.

A matrix is (C, C) int64: a row is a true class, a column a predicted one.
"""

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from foldstack.report.figures import style

PAIRS = 200  # in the table
NAMED = 40  # with more classes their names do not fit on a matrix
FAINTEST, STRONGEST = 0.35, 0.85  # of the colours of mistakes; where cells are dots, rare ones must be seen too


def matrix(metrics: dict, part: str = "oof") -> np.ndarray:
    """(C, C) counts of what is deployed, from metrics.json."""
    cells, size = metrics["confusion"][part], len(metrics["classes"])
    found = np.zeros((size, size), np.int64)
    found[cells["true"], cells["predicted"]] = cells["count"]
    return found


def shares(counts: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; zeros for a class without samples."""
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)


def worst(counts: np.ndarray) -> float:
    """The largest share of a mistake, at least 0.1."""
    wrong = ~np.eye(len(counts), dtype=bool)
    return max(0.1, float(shares(counts)[wrong].max(initial=0)))


def colours(counts: np.ndarray, most: float) -> np.ndarray:
    """(C, C, 4): hits in blue (0 to 100 %), mistakes in orange (0 to `most`, by its root)."""
    share, right = shares(counts), np.eye(len(counts), dtype=bool)
    faintest = FAINTEST if len(counts) > NAMED else 0
    shown = style.BLUES(np.where(right, share, 0))
    strength = np.where(share > 0, faintest + (STRONGEST - faintest) * np.sqrt(share / most), 0)
    shown[~right] = style.ORANGES(strength)[~right]
    return shown


def by_likeness(counts: np.ndarray) -> np.ndarray:
    """(C,) the classes in an order in which those that are confused are near each other.

    The leaves of a tree of average linkage (R. Sokal and C. Michener, A Statistical Method for Evaluating Systematic
    Relationships, 1958); two classes are the nearer, the larger the share that is taken for the other, either way.
    """
    if len(counts) < 3:
        return np.arange(len(counts))
    share = shares(counts)
    alike = (share + share.T) / 2
    np.fill_diagonal(alike, 0)
    distance = alike.max() - alike
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance), "average")).astype(int)


def mistakes(counts: np.ndarray, classes: list[str], limit: int) -> list[tuple[str, str, int, int]]:
    """The mistakes, most frequent first: (true class, predicted class, count, samples of the true class)."""
    wrong = counts * (1 - np.eye(len(classes), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    places = [np.unravel_index(index, wrong.shape) for index in order]
    return [(classes[i], classes[j], int(wrong[i, j]), int(counts[i].sum())) for i, j in places if wrong[i, j] > 0]


def pairs(counts: np.ndarray, classes: list[str], limit: int = PAIRS) -> list[dict]:
    """The pairs of classes that are confused most, either way; equals in the order of the classes.

    Returns `first`, `second`, `taken` (first for second, second for first: `count`, `of`), `count` and `share`.
    """
    both, total = np.triu(counts + counts.T, 1), counts.sum(axis=1)
    rows = []
    for index in np.argsort(-both, axis=None, kind="stable")[:limit]:
        i, j = np.unravel_index(index, both.shape)
        if not both[i, j]:
            break
        taken = [{"count": int(counts[a, b]), "of": int(total[a])} for a, b in ((i, j), (j, i))]
        row = {"first": classes[i], "second": classes[j], "taken": taken, "count": int(both[i, j])}
        rows.append(row | {"share": float(both[i, j] / (total[i] + total[j]))})
    return rows
