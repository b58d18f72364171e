"""All pairs of points within a distance, exactly, without comparing all with all.

The points are cut into blocks by halving them at the median of the axis along which they vary most, as in a k-d tree
(J. L. Bentley, Multidimensional binary search trees used for associative searching, 1975). A block's points are
compared with those that are within the distance of its bounding box, in one matrix product. Where the boxes tell
nothing apart, that costs what brute force costs.
"""

from collections.abc import Iterator

import numpy as np

BLOCK = 512  # points
COLUMNS = 2**16  # points compared with a block at once: bounds the memory
SLACK = 4e-6  # of squared distances of points within the unit ball, as float32 rounds them


def close_pairs(points: np.ndarray, radius: float) -> Iterator[tuple[np.ndarray, int]]:
    """For each block, (P, 2) positions of the pairs that it adds, the smaller first, and the number of its points.

    Together each pair comes once.

    Args:
        points: (N, D) float32 of norm 1 at most.
        radius: pairs beyond it by no more than the rounding of float32 may be among them; none within it is missing.
    """
    if not len(points):
        return
    blocks = _blocks(points)
    order = np.concatenate(blocks)
    ends = np.cumsum([len(rows) for rows in blocks])
    sorted_points = points[order]
    low, high = (np.array([bound(points[rows], axis=0) for rows in blocks]) for bound in (np.min, np.max))
    squares = np.square(sorted_points).sum(axis=1)
    limit = radius**2 + SLACK
    for i, end in enumerate(ends):
        start = end - len(blocks[i])
        own = sorted_points[start:end]
        apart = np.square(_gap(low[i:], high[i:], low[i], high[i])).sum(axis=1)
        near = np.flatnonzero(apart <= limit) + i  # the blocks before it have met this one
        found = []
        for rows in _columns([np.arange(ends[j] - len(blocks[j]), ends[j]) for j in near]):
            others = sorted_points[rows]
            inside = np.square(_gap(others, others, low[i], high[i])).sum(axis=1) <= limit
            rows, others = rows[inside], others[inside]
            distances = squares[start:end, None] + squares[rows] - 2 * (own @ others.T)
            first, second = np.nonzero(distances <= limit)
            once = rows[second] > first + start
            found.append(np.sort(np.column_stack([order[first[once] + start], order[rows[second[once]]]]), axis=1))
        yield np.concatenate(found), len(own)


def _blocks(points: np.ndarray) -> list[np.ndarray]:
    """Positions of the points of each block."""
    pending, blocks = [np.arange(len(points))], []
    while pending:
        rows = pending.pop()
        if len(rows) <= BLOCK:
            blocks.append(rows)
            continue
        part = points[rows]
        halves = np.argpartition(part[:, part.var(axis=0).argmax()], len(rows) // 2)
        pending += [rows[halves[len(rows) // 2 :]], rows[halves[: len(rows) // 2]]]
    return blocks


def _gap(low: np.ndarray, high: np.ndarray, own_low: np.ndarray, own_high: np.ndarray) -> np.ndarray:
    """How far boxes, or points, are from a box along each axis; 0 where they overlap."""
    return np.maximum(np.maximum(low - own_high, own_low - high), 0)


def _columns(parts: list[np.ndarray]) -> Iterator[np.ndarray]:
    rows = np.concatenate(parts)
    return (rows[start : start + COLUMNS] for start in range(0, len(rows), COLUMNS))
