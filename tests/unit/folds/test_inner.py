"""folds.inner: each run trains on every class that it could have, has an inner split, and keeps most of its samples."""

import itertools

import numpy as np
import pytest
from fold_inputs import assigned, samples
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foldstack.errors import FoldstackError
from foldstack.folds.inner import Parts, inner_buckets


def without(labels, fold, inner, n_splits, inner_splits) -> set[tuple[int, int]]:
    """(fold, class) of the runs that have samples of a class and set all of them aside; written another way."""
    found = set()
    for k in range(n_splits):
        trained = (fold != k) & (inner != k % inner_splits)
        found |= {(k, int(label)) for label in set(labels[fold != k]) - set(labels[trained])}
    return found


def usable(fold, inner, n_splits, inner_splits) -> bool:
    for k in range(n_splits):
        aside = (fold != k) & (inner == k % inner_splits)
        if not aside.any() or not ((fold != k) & ~aside).any():
            return False
    return len(set(inner)) == inner_splits


@st.composite
def layouts(draw, components):
    """(labels, component, fold) of samples whose components have up to three classes."""
    own = draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=2, max_size=components))
    n_splits = draw(st.integers(2, 6))
    fold = draw(st.lists(st.integers(0, n_splits - 1), min_size=len(own), max_size=len(own)))
    assume(len(set(fold)) == max(fold) + 1 and max(fold) > 0)
    tied = np.repeat(np.arange(len(own)), [len(each) for each in own])
    return np.concatenate(own), tied, np.array(fold)[tied]


@settings(max_examples=400, deadline=None)
@given(layout=layouts(components=7), inner_splits=st.integers(2, 3), seed=st.integers(0, 3))
def test_no_class_is_left_out_where_other_buckets_would_not(layout, inner_splits, seed):
    """Against all buckets that there could be, on samples that are tied across classes."""
    labels, tied, fold = layout
    n_splits = int(fold.max()) + 1
    every = [np.array(each)[tied] for each in itertools.product(range(inner_splits), repeat=int(tied.max()) + 1)]
    possible = [each for each in every if usable(fold, each, n_splits, inner_splits)]
    try:
        inner = inner_buckets(labels, tied, fold, inner_splits, seed)
    except FoldstackError:
        assert not possible
        return
    assert usable(fold, inner, n_splits, inner_splits)
    assert len({*zip(tied, inner, strict=True)}) == tied.max() + 1
    # A run that keeps less than half of what it should counts like a class that is left out.
    least = min(cost(labels, tied, fold, each, inner_splits) for each in possible)
    assert cost(labels, tied, fold, inner, inner_splits) == 0 or least > 0


def cost(labels, tied, fold, inner, inner_splits) -> int:
    n_splits = int(fold.max()) + 1
    few = 0
    for k in range(n_splits):
        left = ((fold != k) & (inner != k % inner_splits)).sum()
        few += left < 0.5 * (1 - 1 / inner_splits) * (fold != k).sum()
    return few + len(without(labels, fold, inner, n_splits, inner_splits))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_class_that_can_be_trained_on_is(data):
    """Any classes, groups, shared images, strategy and numbers of splits, on components of one class each."""
    n_splits, inner_splits = data.draw(st.integers(2, 6)), data.draw(st.integers(3, 12))
    sizes = data.draw(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 6)), min_size=14, max_size=40))
    labels = np.repeat([label for label, _ in sizes], [size for _, size in sizes])
    tied = np.repeat(np.arange(len(sizes)), [size for _, size in sizes])
    by_image = data.draw(st.booleans())
    config = {"n_splits": n_splits, "inner_splits": inner_splits, "seed": data.draw(st.integers(0, 9))}
    config["strategy"] = data.draw(st.sampled_from(["stratified", "plain", *(() if by_image else GROUPED)]))
    frame = samples(
        labels,
        groups=None if by_image else [f"g{i}" for i in tied],
        views=[[f"image{i}"] for i in tied] if by_image else None,
    )
    try:
        out = assigned(frame, **config)
    except FoldstackError:
        return  # a fault has its own case in test_assign
    fold, inner = out["fold"].to_numpy(), out["inner"].to_numpy()
    assert not without(labels, fold, inner, n_splits, inner_splits)
    assert usable(fold, inner, n_splits, inner_splits)


GROUPED = ["group", "stratified_group"]


@pytest.mark.parametrize("strategy", ["stratified", "stratified_group", "group"])
@pytest.mark.parametrize("n_splits", [2, 3, 5])
def test_a_class_of_two_groups_is_learnt_by_every_run_that_can(strategy, n_splits):
    """Half of 30 seeds gave a run without it, before buckets knew which of them a run sets aside."""
    labels = np.repeat([0, 1, 2], [40, 40, 12])
    frame = samples(labels, [f"p{i}" for i in range(80)] + ["ra"] * 6 + ["rb"] * 6)
    for seed in range(30):
        out = assigned(frame, strategy=strategy, n_splits=n_splits, seed=seed)
        assert not without(labels, out["fold"].to_numpy(), out["inner"].to_numpy(), n_splits, 10)


def test_a_large_group_is_not_set_aside_by_another_fold():
    """One group of 70 among 10 single samples: what sets it aside has next to nothing to train on."""
    groups = ["hospital"] * 70 + [f"p{i}" for i in range(10)]
    for seed in range(10):
        out = assigned(samples(np.arange(80) % 2, groups), n_splits=3, inner_splits=10, seed=seed)
        own = int(out["fold"][0])
        for k in {0, 1, 2} - {own}:
            assert ((out["fold"] != k) & (out["inner"] != k)).sum() >= 70


def test_the_count_by_moves_is_the_count_from_scratch():
    rng = np.random.default_rng(0)
    tied = np.sort(rng.integers(0, 30, 200))
    tied = np.unique(tied, return_inverse=True)[1]
    labels, fold = rng.integers(0, 4, 200), (tied % 3)
    parts = Parts(labels, tied, fold, rng.integers(0, 5, tied.max() + 1), 5)
    for _ in range(100):
        parts.move(int(rng.integers(tied.max() + 1)), int(rng.integers(5)))
    again = Parts(labels, tied, fold, parts.bucket, 5)
    assert np.array_equal(parts.trained(), again.trained())
    assert parts.faults() == again.faults()
    inner = parts.bucket[tied]
    for k in range(3):
        trained = (fold != k) & (inner != k % 5)
        assert parts.trained()[k].tolist() == [*np.bincount(labels[trained], minlength=4), trained.sum()]
