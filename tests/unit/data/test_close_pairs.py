"""foldstack.data.close_pairs: the same pairs as brute force, whatever the points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from foldstack.data import close_pairs


def pairs(points, radius, cell=64, cells=8, columns=2**16):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(close_pairs, "CELL", cell)
        patched.setattr(close_pairs, "BLOCK", cell * cells)
        patched.setattr(close_pairs, "AXES", (1, 3, None))
        patched.setattr(close_pairs, "COLUMNS", columns)
        parts = [*close_pairs.close_pairs(points, radius)]
    assert sum(compared for _, compared in parts) == len(points)
    return np.concatenate([np.empty((0, 2), np.int64), *(found for found, _ in parts)])


def brute_force(points, radius):
    exact = points.astype(np.float64)
    apart = np.square(exact[:, None] - exact[None]).sum(axis=-1)
    return {(i, j) for i, j in np.argwhere(apart <= radius**2).tolist() if i < j}


@settings(max_examples=40, deadline=None)
@given(
    some.integers(0, 2**32 - 1), some.integers(0, 60), some.integers(1, 9), some.integers(1, 9), some.integers(1, 5),
    some.integers(1, 50), some.sampled_from([1e-3, 0.05, 0.3, 1.0]), some.floats(0, 1),
)  # fmt: skip
def test_the_pairs_of_brute_force_each_once(seed, count, axes, cell, cells, columns, radius, repeated):
    """Points in clusters, on a grid or alike, on axes of unequal spread, in blocks of cells of one point or more."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, axes)) * np.logspace(0, -2, axes)
    points = np.round(points, int(rng.integers(0, 4)))
    again = rng.random(count) < repeated
    points[again] = points[rng.integers(0, max(count, 1), int(again.sum()))] + 1e-3 * rng.normal(
        size=(again.sum(), axes)
    )
    points = (points / max(np.linalg.norm(points, axis=1).max(initial=0), 1)).astype(np.float32)
    found = pairs(points, radius, cell, cells, columns)
    assert (found[:, 0] < found[:, 1]).all()
    as_set = set(map(tuple, found.tolist()))
    assert len(as_set) == len(found)
    assert brute_force(points, radius) <= as_set <= brute_force(points, np.sqrt(radius**2 + 5e-5))


def test_points_far_apart_are_not_compared(monkeypatch):
    """The work, not only the answer: of 4,000 points in 40 far clusters, a block meets about its own cluster."""
    rng = np.random.default_rng(0)
    points = np.repeat(rng.normal(size=(40, 8)), 100, axis=0)
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    met, usual = [], close_pairs._members
    monkeypatch.setattr(close_pairs, "_members", lambda *given: (met.append(usual(*given)), met[-1])[1])
    assert len(pairs(points, 0.05, cell=50, cells=1)) == 40 * 100 * 99 // 2
    assert sum(map(len, met[1::2])) < 4000 * 10
