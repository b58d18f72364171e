"""Cautions before anything trains: folds that can be used, but leave a run little to learn from."""

import numpy as np
import pandas as pd

from foldstack.data.ties import what_ties
from foldstack.folds.inner import LEAST, Parts

LARGE = 2  # a fold may hold this many times its even share


def cautions(training: pd.DataFrame, tied, fold, inner, classes: list[str], n_splits: int, inner_splits: int) -> list:
    """A sentence for each kind of fault; none where the folds are as good as `n_splits` promises.

    Args:
        training: columns `sample_id`, `label`, `group`, `view_hashes`; the arrays (N,) follow its rows.
    """
    labels = training["label"].to_numpy()
    parts = Parts(labels, tied, fold, inner[np.unique(tied, return_index=True)[1]], inner_splits)
    found = [*_large(training, tied, fold, n_splits), *_little(parts, len(labels))]
    return [*found, *_without(parts, classes)]


def _large(training: pd.DataFrame, tied, fold, n_splits: int) -> list[str]:
    sizes, n = np.bincount(fold, minlength=n_splits), len(fold)
    k = int(sizes.argmax())
    if sizes[k] <= LARGE * n / n_splits:
        return []
    said = f"Fold {k} holds {sizes[k]:,} of the {n:,} training samples, where an even share is {n / n_splits:,.0f}"
    together = np.flatnonzero(tied == np.bincount(tied).argmax())
    if len(together) > n / n_splits:
        why = what_ties(training.iloc[together])
        said += f": {len(together):,} samples must stay together ({why})"
    return [f"{said}. The out-of-fold figures are mostly those of one network."]


def _little(parts: Parts, n: int) -> list[str]:
    trained = parts.trained()[:, -1]
    promised = n * (1 - 1 / parts.n_splits) * (1 - 1 / parts.inner_splits)
    few = np.flatnonzero(trained < LEAST * promised)
    if not few.size:
        return []
    runs = ", ".join(f"fold {k} on {trained[k]:,}" for k in few[:5]) + (", ..." if few.size > 5 else "")
    return [
        f"Runs train on less than half of the {promised:,.0f} samples that {parts.n_splits} folds of even size would "
        f"leave them: {runs}. Groups and near-duplicates of more even size, or fewer folds, would give them more."
    ]


def _without(parts: Parts, classes: list[str]) -> list[str]:
    missing = np.argwhere(parts.missing()[:, :-1])
    if not len(missing):
        return []
    runs = ", ".join(f"fold {k} none of {classes[label]!r}" for k, label in missing[:5])
    more = f", and {len(missing) - 5} more" if len(missing) > 5 else ""
    return [
        f"Under selection: inner these runs train on no sample of a class, since their inner split takes all: {runs}"
        f"{more}. Raise folds.inner_splits, set selection: final, or add samples of other groups."
    ]
