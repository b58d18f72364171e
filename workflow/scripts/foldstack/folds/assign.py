"""Cut the training samples into folds and inner buckets; samples that belong together are never in two folds.

Tied samples (same group, or an identical or nearly identical image in any view) form a component; a component goes
whole into one fold, and within it whole into one inner bucket. `data/ties.py` finds the components.
"""

import itertools
import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from foldstack.data import ties
from foldstack.data.ties import sets, way_out, what_ties
from foldstack.errors import FoldstackError
from foldstack.folds.cautions import cautions
from foldstack.folds.digest import folds_digest
from foldstack.folds.inner import inner_buckets

UNEVEN = 0.1  # largest accepted standard deviation of a class over the folds, as a part of its even share


def assign(
    samples: pd.DataFrame,
    classes: list[str],
    duplicates: pd.DataFrame | None = None,
    *,
    strategy: str,
    n_splits: int,
    inner_splits: int,
    seed: int,
):
    """Folds and inner buckets of the training samples.

    Args:
        samples: the samples table; rows of the test split are left out.
        classes: names, for messages.
        duplicates: duplicates.parquet; None where no search for nearly equal images was made.
        strategy: `stratified` and `plain` split the components by scikit-learn's (Stratified)KFold, `group` and
            `stratified_group` by (Stratified)GroupKFold; `predefined` takes the column `fold`. All keep groups whole.
            Where components of unequal size leave it uneven, `stratified` becomes `stratified_group` if that helps.
        inner_splits: number of inner buckets; stratified within each fold and over the whole.
        seed: decides every random choice.

    Returns:
        (folds, n_components, cautions): the folds have the columns `sample_id`, `fold`, `inner` (int64), sorted by
        `sample_id`; the cautions are sentences, see `folds/cautions.py`.

    Raises:
        FoldstackError: too few samples or components, a class with samples in one fold only, unusable predefined folds.
    """
    training = samples[samples["split"] == "train"].sort_values("sample_id", ignore_index=True)
    if training.empty:
        raise FoldstackError("The data set has no training sample to assign to folds; check data.path.")
    tied = ties.of(training, duplicates)
    labels = training["label"].to_numpy()
    if strategy == "predefined":
        fold = _predefined(training, tied, n_splits)
    else:
        _check_possible(training, tied, classes, strategy, n_splits)
        fold = _no_class_alone(labels, tied, _split(labels, tied, strategy, n_splits, seed), n_splits)
    _check_folds(training, tied, fold, classes, n_splits)
    inner = inner_buckets(labels, tied, fold, inner_splits, seed)
    said = cautions(training, tied, fold, inner, classes, n_splits, inner_splits)
    folds = pd.DataFrame({"sample_id": training["sample_id"], "fold": fold, "inner": inner})
    return folds, int(tied.max()) + 1, said


def summarise(
    folds: pd.DataFrame, samples: pd.DataFrame, dataset: dict, config: dict, n_components: int, said: list[str]
) -> dict:
    """What folds.json holds (docs/reference/files.md); `config` is the slice `folds`, `said` the cautions."""
    joined = folds.merge(samples[["sample_id", "label"]], on="sample_id", validate="one_to_one")
    table = pd.crosstab(joined["fold"], joined["label"])
    table = table.reindex(index=range(config["n_splits"]), columns=range(len(dataset["classes"])), fill_value=0)
    counts = {
        str(fold): dict(zip(dataset["classes"], map(int, row), strict=True))
        for fold, row in zip(table.index, table.to_numpy(), strict=True)
    }
    return {
        **{key: config[key] for key in ("strategy", "n_splits", "inner_splits", "seed")},
        "data_digest": dataset["digest"],
        "digest": folds_digest(folds),
        "components": n_components,
        "cautions": said,
        "counts": counts,
    }


def _split(labels: np.ndarray, tied: np.ndarray, strategy: str, n_splits: int, seed: int) -> np.ndarray:
    """(N,) fold of each sample, by one of scikit-learn's splitters."""
    first = np.unique(tied, return_index=True)[1]  # components are numbered by first appearance
    if strategy == "plain":
        return _folds_of(KFold(n_splits, shuffle=True, random_state=seed), labels[first], None)[tied]
    if strategy == "stratified":
        fold = np.zeros_like(tied)
        if np.bincount(labels[first]).max() >= n_splits:
            fold = _folds_of(StratifiedKFold(n_splits, shuffle=True, random_state=seed), labels[first], None)[tied]
        if len(first) == len(labels) or _unevenness(labels, fold, n_splits) <= UNEVEN:
            return fold
        balanced = _split(labels, tied, "stratified_group", n_splits, seed)
        return min(fold, balanced, key=lambda each: _unevenness(labels, each, n_splits))
    if strategy == "stratified_group":
        return _folds_of(StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed), labels, tied)
    # GroupKFold without shuffling balances sizes; the seed decides between components of one size.
    renumbered = np.random.default_rng(seed).permutation(len(first))[tied]
    return _folds_of(GroupKFold(n_splits), labels, renumbered)


def _unevenness(labels: np.ndarray, fold: np.ndarray, n_splits: int) -> float:
    """Standard deviation of a class's samples over the folds, as a part of its even share; the mean of the classes."""
    counts = _class_counts(labels, fold, n_splits)
    counts = counts[:, counts.any(axis=0)]
    if not counts.any(axis=1).all():
        return np.inf  # a fold without a sample
    return float((counts.std(axis=0) / counts.mean(axis=0)).mean())


def _class_counts(labels: np.ndarray, fold: np.ndarray, n_splits: int) -> np.ndarray:
    """(n_splits, classes) samples."""
    counts = np.zeros((n_splits, int(labels.max()) + 1), np.int64)
    np.add.at(counts, (fold, labels), 1)
    return counts


def _no_class_alone(labels: np.ndarray, tied: np.ndarray, fold: np.ndarray, n_splits: int) -> np.ndarray:
    """The folds, where a class of several components is not in one fold only: one of its components is moved.

    The smallest component goes to the smallest fold, if that leaves no fold empty and no other class in one fold only.
    """
    fold, sizes = fold.copy(), np.bincount(tied)

    def alone(each: np.ndarray) -> np.ndarray:
        counts = _class_counts(labels, each, n_splits)
        return (np.count_nonzero(counts, axis=0) == 1) if counts.any(axis=1).all() else np.ones(counts.shape[1], bool)

    for label in np.flatnonzero(alone(fold)):
        own = np.unique(tied[labels == label])
        moves = itertools.product(own[np.argsort(sizes[own], kind="stable")], np.argsort(np.bincount(fold)))
        for component, k in moves if len(own) > 1 else ():
            moved = np.where(tied == component, k, fold)
            if alone(moved).sum() < alone(fold).sum():
                fold = moved
                break
    return fold


def _folds_of(splitter, labels: np.ndarray, groups) -> np.ndarray:
    fold = np.full(len(labels), -1, np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for k, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
            fold[rows] = k
    return fold


def _predefined(training: pd.DataFrame, tied: np.ndarray, n_splits: int) -> np.ndarray:
    if training["fold"].isna().any():
        sample = training.loc[training["fold"].isna(), "sample_id"].iloc[0]
        raise FoldstackError(
            f"folds.strategy is predefined, but sample {sample!r} has no fold; give every training sample a value in "
            "the data's `fold` column or choose another strategy."
        )
    fold = training["fold"].to_numpy(np.int64)
    found = np.unique(fold)
    if not np.array_equal(found, np.arange(n_splits)):
        raise FoldstackError(
            f"The data's `fold` column holds the folds {found.tolist()[:20]}, but folds.n_splits is {n_splits}; number "
            f"the folds from 0 without gaps and set folds.n_splits to their count ({len(found)})."
        )
    first = np.unique(tied, return_index=True)[1]
    straddling = np.flatnonzero(fold != fold[first][tied])
    if straddling.size:
        i = int(straddling[0])
        j = int(first[tied[i]])
        why = (
            f"are both of group {training['group'][i]!r}"
            if not pd.isna(training["group"][i]) and training["group"][i] == training["group"][j]
            else "are tied by a group, an identical image or a nearly identical one"
        )
        raise FoldstackError(
            f"Predefined folds: samples {training['sample_id'][j]!r} (fold {fold[j]}) and "
            f"{training['sample_id'][i]!r} (fold {fold[i]}) {why}; give them the same fold or remove one."
        )
    return fold


def _check_possible(training: pd.DataFrame, tied: np.ndarray, classes: list[str], strategy: str, n_splits: int) -> None:
    labels, sizes = training["label"].to_numpy(), np.bincount(tied)
    if "group" in strategy and training["group"].isna().all():
        raise FoldstackError(
            f"folds.strategy is {strategy!r}, but the data has no groups; add a `group` column or choose 'stratified'."
        )
    if len(sizes) < n_splits:
        raise FoldstackError(
            f"The {len(labels)} training samples form only {sets(len(sizes))} that must stay together (same group, or "
            f"the same or nearly the same image), fewer than folds.n_splits {n_splits}. In the largest, of "
            f"{sizes.max()} samples, {what_ties(training[tied == sizes.argmax()])}. {way_out(training)}"
        )
    counts = np.bincount(labels, minlength=len(classes))
    rare = int(counts.argmin())
    if strategy.startswith("stratified") and counts[rare] < n_splits:
        few = f"{counts[rare]} training sample{'s' * int(counts[rare] > 1)}, fewer than folds.n_splits {n_splits}"
        what = "add samples, leave the class out, lower folds.n_splits or set folds.strategy: plain."
        if len(np.unique(tied[labels == rare])) == 1:  # other folds would not help
            what = "no run could learn it and predict it: add samples independent of these, or leave the class out."
        raise FoldstackError(f"Class {classes[rare]!r} has {few}; {what}")


def _check_folds(training: pd.DataFrame, tied, fold: np.ndarray, classes: list[str], n_splits: int) -> None:
    labels = training["label"].to_numpy()
    counts = _class_counts(labels, fold, n_splits)
    if not counts.sum(axis=1).all():
        empty = int((counts.sum(axis=1) == 0).argmax())
        raise FoldstackError(f"Fold {empty} would hold no sample; lower folds.n_splits.")
    alone = np.argwhere((counts == counts.sum(axis=0)) & (counts > 0))
    if alone.size:
        k, label = alone[0]
        together = len(np.unique(tied[labels == label])) == 1
        raise FoldstackError(
            f"All {counts[k, label]} training samples of class {classes[label]!r} fall into fold {k}, so its run could "
            "not learn the class; "
            + (
                "they must stay together: add samples of other groups, or leave the class out."
                if together
                else "put some of them into another fold, or leave the class out."
            )
        )
