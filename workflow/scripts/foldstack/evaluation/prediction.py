"""A contender's probabilities, made only for the rows that are asked for: all of them at once fill the memory."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from foldstack.probabilities import blocks, softmax

COLUMN_CELLS = 125_000_000  # 1 GB of float64


class Table(Protocol):
    """Probabilities (N, C), whether an array or made when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows, /) -> np.ndarray: ...


class Prediction:
    """(N, C) float64 probabilities: the mean of the softmax of several logits. `x[rows]` reads some rows, `x[:]` all.

    Args:
        logits: (N, C) float32 each, such as those of a model's seeds; they may be mapped from files.
    """

    def __init__(self, logits: Sequence[np.ndarray]):
        self.logits, self.shape = list(logits), logits[0].shape

    def __getitem__(self, rows) -> np.ndarray:
        total = softmax(self.logits[0][rows])
        for logits in self.logits[1:]:
            total += softmax(logits[rows])
        return total / len(self.logits)


def by_rows(table: Table) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows and their probabilities (n, C), block by block."""
    for rows in blocks(*table.shape):
        yield rows, table[rows]


def by_class(table: Table, classes: Sequence[int] | np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Classes and their probabilities (N,). As many are read together as COLUMN_CELLS numbers hold."""
    n = table.shape[0]
    together = max(1, COLUMN_CELLS // max(n, 1))
    for start in range(0, len(classes), together):
        chosen = np.asarray(classes[start : start + together])
        columns = np.empty((len(chosen), n))
        for rows, probabilities in by_rows(table):
            columns[:, rows] = probabilities[:, chosen].T
        yield from zip(chosen.tolist(), columns, strict=True)
