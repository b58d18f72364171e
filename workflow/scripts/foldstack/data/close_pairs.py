"""All pairs of points within a distance, exactly, without comparing all with all.

The points are put in an order in which neighbours stand together, by halving them at the median of the axis along which
they vary most, as in a k-d tree (J. L. Bentley, Multidimensional binary search trees used for associative searching,
1975). A block of that order is compared, in one matrix product, with the points that are near enough to its bounding
box. Where boxes tell nothing apart, that costs what brute force costs.
"""

from collections.abc import Iterator

import numpy as np

BLOCK = 512  # points that are compared with others at a time
CELL = 64  # points that are left out together; divides BLOCK
AXES = (6, 18, None)  # points are left out by the first axes, which vary most, then by more
COLUMNS = 2**16  # points compared with a block at once: bounds the memory
SLACK = 2e-5  # of squared distances of points within the unit ball, as float32 rounds them


def close_pairs(points: np.ndarray, radius: float) -> Iterator[tuple[np.ndarray, int]]:
    """For each block, (P, 2) positions of the pairs that it adds, the smaller first, and the number of its points.

    Together each pair comes once.

    Args:
        points: (N, D) float32 of norm 1 at most.
        radius: pairs beyond it by no more than the rounding of float32 may be among them; none within it is missing.
    """
    order, limit = _neighbours_together(points), radius**2 + SLACK
    points = points[order][:, np.argsort(-points.var(axis=0))] if len(points) else points
    axes = [slice(*ends) for ends in zip((0, *AXES), AXES, strict=False)]
    parts = [np.ascontiguousarray(points[:, own]) for own in axes]
    half = np.square(points).sum(axis=1, keepdims=True) / 2
    one = np.ones_like(half)
    left, right = np.hstack([points, -half, one]), np.hstack([points, one, -half])  # left @ right.T: -distance² / 2
    blocks, cells = _boxes(points, BLOCK), _boxes(points, CELL)
    for start in range(0, len(points), BLOCK):
        own, box = left[start : start + BLOCK], blocks[:, start // BLOCK]
        near = _near(blocks, box, np.arange(start // BLOCK, blocks.shape[1]), limit)  # earlier blocks have met this one
        near = _near(cells, box, _members(near, BLOCK // CELL, cells.shape[1]), limit)
        rows, found = _members(near, CELL, len(points)), []
        apart = np.zeros(len(rows), np.float32)
        for part, own_axes in zip(parts, axes, strict=True):
            apart += _squared_gaps(part[rows], part[rows], box[:, own_axes])
            rows, apart = rows[apart <= limit], apart[apart <= limit]
        for first in range(0, len(rows), COLUMNS):
            others = rows[first : first + COLUMNS]
            i, j = np.divmod(np.flatnonzero(own @ right[others].T >= -limit / 2), len(others))
            once = others[j] > i + start
            found.append(np.sort(np.column_stack([order[i[once] + start], order[others[j[once]]]]), axis=1))
        yield np.concatenate(found), len(own)


def _neighbours_together(points: np.ndarray) -> np.ndarray:
    """(N,) positions in an order whose blocks of CELL, 2 CELL, 4 CELL, ... points are compact."""
    pending, cells = [np.arange(len(points))], []
    while pending:
        rows = pending.pop()
        if len(rows) <= CELL:
            cells.append(rows)
            continue
        middle = CELL
        while 2 * middle < len(rows):
            middle *= 2
        part = points[rows]
        sides = np.argpartition(part[:, part.var(axis=0).argmax()], middle)
        pending += [rows[sides[middle:]], rows[sides[:middle]]]
    return np.concatenate(cells)


def _boxes(points: np.ndarray, size: int) -> np.ndarray:
    """(2, blocks, D): the lowest and the highest value along each axis of every `size` points."""
    starts = np.arange(0, len(points), size)
    return (
        np.stack([np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)])
        if len(points)
        else (np.empty((2, 0, points.shape[1]), np.float32))
    )


def _near(boxes: np.ndarray, box: np.ndarray, some: np.ndarray, limit: float) -> np.ndarray:
    """Those of `some` boxes (positions) whose squared distance from `box` is within `limit`."""
    return some[_squared_gaps(boxes[0, some], boxes[1, some], box) <= limit]


def _squared_gaps(low: np.ndarray, high: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Squared distances of boxes, or of points, from a box: 0 where they overlap."""
    gaps = np.maximum(np.maximum(low - box[1], box[0] - high), 0)
    return np.einsum("ij,ij->i", gaps, gaps)


def _members(blocks: np.ndarray, size: int, count: int) -> np.ndarray:
    """Positions, below `count`, of what is in blocks of `size`."""
    members = (blocks[:, None] * size + np.arange(size)).ravel()
    return members[members < count]
