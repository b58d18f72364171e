"""The temperatures of the lowest log-loss with each fold left out, found together and block by block.

They are what `probabilities.temperature` finds from the rows of the other folds. In u = 1 / T the log-loss of
softmax(u log p) is convex, with the slope E[log p] - log p(true class) and the curvature Var[log p] under that softmax,
so a few of Newton's steps do, where a search that knows neither takes dozens.
"""

import numpy as np

from foldstack.evaluation.prediction import Table, by_rows
from foldstack.probabilities import HIGHEST, LOWEST, TINY, softmax

STEPS, CLOSE = 60, 1e-7


class Cooled:
    """A table as it is with a temperature of its own for each row; see `probabilities.with_temperature`."""

    def __init__(self, table: Table, temperatures: np.ndarray):
        self.table, self.temperatures, self.shape = table, temperatures, table.shape

    def __getitem__(self, rows) -> np.ndarray:
        return softmax(np.log(np.clip(self.table[rows], TINY, 1)) / self.temperatures[rows, None])


def temperatures(labels: np.ndarray, table: Table, folds: np.ndarray) -> tuple[float, np.ndarray]:
    """The temperature of all rows, and (n_splits,) those of the rows outside each fold."""
    n_splits = int(folds.max()) + 1
    whole = _minima(labels, table, folds, np.ones((1, n_splits)), np.ones(1))
    others = _minima(labels, table, folds, 1 - np.eye(n_splits), np.full(n_splits, whole[0]))
    return float(1 / whole[0]), 1 / others


def _minima(labels: np.ndarray, table: Table, folds: np.ndarray, takes: np.ndarray, u: np.ndarray) -> np.ndarray:
    """(G,) the u of the lowest log-loss of each group, by Newton's steps from `u`, halving where they go astray.

    Args:
        takes: (G, n_splits) 1 where a group holds the rows of a fold, else 0.
    """
    low, high = np.zeros(len(u)), np.full(len(u), np.inf)  # seen so far: too low, too high
    moving = np.ones(len(u), bool)
    for _ in range(STEPS):
        slope, curvature = _slopes(labels, table, takes[:, folds], np.where(moving, u, 0))
        low, high = np.where(slope < 0, u, low), np.where(slope < 0, high, u)
        step = np.divide(slope, curvature, out=np.copysign(np.full(len(u), np.inf), slope), where=curvature > 0)
        ahead = np.clip(u - step, 1 / HIGHEST, 1 / LOWEST)
        astray = ((ahead <= low) | (ahead >= high)) & (ahead != u)
        ahead = np.where(astray, np.sqrt(np.maximum(low, 1 / HIGHEST) * np.minimum(high, 1 / LOWEST)), ahead)
        moving &= np.abs(ahead - u) > CLOSE * u
        u = np.where(moving, ahead, u)
        if not moving.any():
            break
    return u


def _slopes(labels: np.ndarray, table: Table, weights: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative (G,) of the log-loss, summed with weights (G, N) at `u` (G,); 0 where `u` is 0."""
    slope, curvature = np.zeros((2, len(u)))
    for rows, probabilities in by_rows(table):
        logs = np.log(np.clip(probabilities, TINY, 1))
        logs -= logs.max(axis=1, keepdims=True)
        true = logs[np.arange(len(logs)), labels[rows]]
        for g in np.flatnonzero(u):
            softened = np.exp(u[g] * logs)
            total = softened.sum(axis=1)
            softened *= logs
            mean = softened.sum(axis=1) / total
            square = np.einsum("ij,ij->i", softened, logs) / total
            slope[g] += weights[g, rows] @ (mean - true)
            curvature[g] += weights[g, rows] @ (square - mean**2)
    return slope, curvature
