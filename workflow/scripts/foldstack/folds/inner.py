"""Inner buckets: the parts that each fold is divided into, one of which a run sets aside to choose its epoch by.

The run of fold k sets bucket `k % inner_splits` of the other folds aside (`folds/split.py`). Buckets are balanced
first. Then faults are repaired: a class whose only samples are all set aside, an inner split that is
empty or takes most of the run's samples.
"""

import numpy as np

from foldstack.data.ties import sets
from foldstack.errors import FoldstackError

UNUSABLE = 1_000_000  # weight of a run without training samples or inner split; a missing class weighs 1
LEAST = 0.5  # of the samples that a run should train on
TRIED = 16  # where many components could move, this many of the smallest and of the largest are tried
NOISE = 0.1  # share of moves that are drawn at random
STEPS = 200  # the search ends after this many steps without improvement


def inner_buckets(labels, tied, fold, inner_splits: int, seed: int) -> np.ndarray:
    """(N,) bucket of each sample, from its label, its component and its fold; a component goes whole into one.

    Raises:
        FoldstackError: too few components for every run to have something to train on and to set aside.
    """
    n_components, n_splits = int(tied.max()) + 1, int(fold.max()) + 1
    if n_components < inner_splits:
        raise FoldstackError(
            f"The {n_components} sets of training samples that must stay together are too few for folds.inner_splits "
            f"{inner_splits} in {n_splits} folds; lower folds.inner_splits or add samples."
        )
    parts = Parts(labels, tied, fold, _balanced(labels, tied, fold, inner_splits, seed), inner_splits)
    fewest, bucket = _learnable(parts, np.random.default_rng(seed))
    if fewest >= UNUSABLE:
        k = int(parts.empty().argmax())
        left = int((parts.fold != k).sum())
        raise FoldstackError(
            f"The samples outside fold {k} form {sets(left)} (same group or same image stay together), "
            "too few for its run to train on some and set others aside; lower folds.inner_splits, change "
            "folds.n_splits or folds.strategy, or correct the groups."
        )
    return bucket[tied]


def _balanced(labels, tied, fold, inner_splits: int, seed: int) -> np.ndarray:
    """(components,) bucket of each component: largest first, each goes where its class is scarcest.

    Scarcest within its fold and class, then within its class, its fold, and overall; counted in samples. A bucket
    that is still empty is the scarcest by all four, so none stays empty while there are components.
    """
    first, sizes = np.unique(tied, return_index=True, return_counts=True)[1:]
    shuffled = np.random.default_rng(seed).permutation(len(first))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    filled: dict[tuple, list[int]] = {}
    bucket = np.empty(len(first), np.int64)
    for component in order.tolist():
        label, k = int(labels[first[component]]), int(fold[first[component]])
        keys = ((k, label), ("class", label), ("fold", k), ("all",))
        counts = [filled.setdefault(key, [0] * inner_splits) for key in keys]
        chosen = min(zip(*counts, range(inner_splits), strict=True))[-1]
        bucket[component] = chosen
        for count in counts:
            count[chosen] += int(sizes[component])
    return bucket


class Parts:
    """How many samples of each class each run has, trains on and sets aside, for buckets that change one by one.

    A column after the classes counts all samples.

    Attributes:
        bucket: (components,) where each component is now.
        outside: (n_splits, C + 1) samples outside each fold.
    """

    def __init__(self, labels, tied, fold, bucket, inner_splits: int):
        self.n_classes, self.inner_splits, self.bucket = int(labels.max()) + 1, inner_splits, bucket.copy()
        self.fold = fold[np.unique(tied, return_index=True)[1]]
        self.n_splits = int(fold.max()) + 1
        self.runs = np.arange(self.n_splits)
        self.aside_bucket = self.runs % inner_splits
        # One row a (component, class), ordered by component, the column of all samples last.
        columns = self.n_classes + 1
        own, self.counted = np.unique(tied * columns + labels, return_counts=True)
        own = np.concatenate([own, np.arange(len(bucket)) * columns + self.n_classes])
        self.counted = np.concatenate([self.counted, np.bincount(tied)])
        order = np.argsort(own, kind="stable")
        self.counted, self.component, self.column = self.counted[order], own[order] // columns, own[order] % columns
        self.start = np.searchsorted(self.component, np.arange(len(bucket) + 1))
        self._count()

    def _count(self) -> None:
        shape, fold, bucket = self.n_classes + 1, self.fold[self.component], self.bucket[self.component]
        in_fold = np.zeros((self.n_splits, shape), np.int64)
        np.add.at(in_fold, (fold, self.column), self.counted)
        self.outside = in_fold.sum(axis=0) - in_fold
        self.in_bucket = np.zeros((self.inner_splits, shape), np.int64)  # of all folds
        np.add.at(self.in_bucket, (bucket, self.column), self.counted)
        self.own_aside = np.zeros((self.n_splits, shape), np.int64)  # in its own fold, and so not set aside
        same = bucket == self.aside_bucket[fold]
        np.add.at(self.own_aside, (fold[same], self.column[same]), self.counted[same])

    def move(self, component: int, bucket: int) -> None:
        """Put a component into another bucket."""
        rows = slice(self.start[component], self.start[component + 1])
        column, counted, k = self.column[rows], self.counted[rows], self.fold[component]
        for where, sign in ((self.bucket[component], -1), (bucket, 1)):
            self.in_bucket[where, column] += sign * counted
            if where == self.aside_bucket[k]:
                self.own_aside[k, column] += sign * counted
        self.bucket[component] = bucket

    def trained(self, columns=slice(None)) -> np.ndarray:
        """(n_splits, columns) samples that each run trains on under `selection: inner`."""
        aside = self.in_bucket[self.aside_bucket][:, columns] - self.own_aside[:, columns]
        return self.outside[:, columns] - aside

    def missing(self, columns=slice(None)) -> np.ndarray:
        """(n_splits, columns) bool: the run could have a sample of the class, and trains on none."""
        return (self.outside[:, columns] > 0) & (self.trained(columns) == 0)

    def starved(self) -> np.ndarray:
        """(n_splits,) bool: the inner split leaves less than half of the samples that it should leave."""
        promised = self.outside[:, -1] * (1 - 1 / self.inner_splits)
        return self.trained()[:, -1] < LEAST * promised

    def empty(self) -> np.ndarray:
        """(n_splits,) bool: the run has nothing to set aside, or nothing to train on."""
        trained = self.trained()[:, -1]
        return (trained == self.outside[:, -1]) | (trained == 0)

    def faults(self, columns=slice(None)) -> int:
        """Missing classes among `columns`, starved runs, and `UNUSABLE` for a run or a bucket without samples."""
        unusable = int(self.empty().sum()) + int((self.in_bucket[:, -1] == 0).sum())
        return UNUSABLE * unusable + int(self.starved().sum()) + int(self.missing(columns).sum())

    def largest_and_smallest(self, column: int, some: np.ndarray) -> list[int]:
        """Components with samples in a column, of those that `some` (components,) bool marks; at most 2 `TRIED`."""
        rows = (self.column == column) & some[self.component]
        found = self.component[rows][np.argsort(self.counted[rows], kind="stable")]
        return (found if len(found) <= 2 * TRIED else np.concatenate([found[:TRIED], found[-TRIED:]])).tolist()

    def of(self, component: int) -> np.ndarray:
        """The columns that a component counts in."""
        return self.column[self.start[component] : self.start[component + 1]]


def _learnable(parts: Parts, rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """Search for buckets with the fewest faults; returns both. Each step repairs one fault, by the best move overall.

    That move, or now and then another one, is made even where it brings other faults, so that the search gets out of
    a dead end: WalkSAT, by Selman, Kautz and Cohen, AAAI 1994.
    """
    now = parts.faults()
    fewest, best, since, moved = now, parts.bucket.copy(), 0, -1
    while fewest and since < STEPS:
        since += 1
        found = []
        for component, bucket in _moves(parts, rng):
            columns, home = parts.of(component), int(parts.bucket[component])
            before, load = parts.faults(columns), int(parts.in_bucket[bucket, columns[0]])
            parts.move(component, bucket)
            after = now + parts.faults(columns) - before
            found.append((component == moved, after, load, rng.random(), component, bucket))
            parts.move(component, home)
        if found:
            chosen = found[int(rng.integers(len(found)))] if rng.random() < NOISE else min(found)
            _, now, _, _, moved, bucket = chosen
            parts.move(moved, bucket)
        if now < fewest:
            fewest, best, since = now, parts.bucket.copy(), 0
    return fewest, best


def _moves(parts: Parts, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(component, bucket) of the moves that repair one fault, or help to; the fault is drawn at random."""
    everything = parts.n_classes
    faults = [(k, column, "takes") for k, column in np.argwhere(parts.missing())]
    faults += [(k, everything, "takes") for k in np.flatnonzero(parts.starved())]
    faults += [(k, everything, "lacks") for k in np.flatnonzero(parts.trained()[:, -1] == parts.outside[:, -1])]
    faults += [(-1, bucket, "lacks") for bucket in np.flatnonzero(parts.in_bucket[:, -1] == 0)]
    k, column, fault = faults[int(rng.integers(len(faults)))]
    if fault == "takes":  # the inner split of run k too much: out of its bucket
        aside = parts.aside_bucket[k]
        components = parts.largest_and_smallest(column, (parts.fold != k) & (parts.bucket == aside))
        return [(x, bucket) for x in components for bucket in range(parts.inner_splits) if bucket != aside]
    target = int(parts.aside_bucket[k]) if k >= 0 else int(column)
    components = parts.largest_and_smallest(everything, (parts.fold != k) & (parts.bucket != target))
    return [(x, target) for x in components]
