"""Cut the training samples into folds and inner buckets; samples that belong together never straddle a fold.

Tied samples (same group, or an identical or nearly identical image in any view) form a component; a component is given
to a fold whole, and within its fold to one inner bucket whole. `data/ties.py` finds the components.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from foldstack.data.ties import components, links
from foldstack.errors import FoldstackError
from foldstack.folds.digest import folds_digest


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
        inner_splits: number of inner buckets; stratified within each fold and over the whole.
        seed: decides every random choice.

    Returns:
        (folds, n_components): columns `sample_id`, `fold`, `inner` (int64), sorted by `sample_id`.

    Raises:
        FoldstackError: too few samples or components, a class that one fold holds alone, unusable predefined folds.
    """
    training = samples[samples["split"] == "train"].sort_values("sample_id", ignore_index=True)
    if training.empty:
        raise FoldstackError("The data set has no training sample to assign to folds; check data.path.")
    linked = () if duplicates is None else links(training["sample_id"], duplicates)
    tied = components(training["group"].tolist(), training["view_hashes"].tolist(), linked)
    if strategy == "predefined":
        fold = _predefined(training, tied, n_splits)
    else:
        _check_possible(training, tied, classes, strategy, n_splits)
        fold = _split(training["label"].to_numpy(), tied, strategy, n_splits, seed)
    _check_folds(training["label"].to_numpy(), fold, classes, n_splits)
    inner = _inner_buckets(training["label"].to_numpy(), tied, fold, inner_splits, seed)
    _check_inner(fold, inner, n_splits, inner_splits, int(tied.max()) + 1)
    return pd.DataFrame({"sample_id": training["sample_id"], "fold": fold, "inner": inner}), int(tied.max()) + 1


def summarise(folds: pd.DataFrame, samples: pd.DataFrame, dataset: dict, config: dict, n_components: int) -> dict:
    """What folds.json holds (docs/reference/files.md); `config` is the slice `folds`."""
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
        "counts": counts,
    }


def _split(labels: np.ndarray, tied: np.ndarray, strategy: str, n_splits: int, seed: int) -> np.ndarray:
    """(N,) fold of each sample, by one of scikit-learn's splitters."""
    first = np.unique(tied, return_index=True)[1]  # components are numbered by first appearance
    if strategy in ("stratified", "plain"):
        kind = StratifiedKFold if strategy == "stratified" else KFold
        return _folds_of(kind(n_splits, shuffle=True, random_state=seed), labels[first], None)[tied]
    if strategy == "stratified_group":
        return _folds_of(StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed), labels, tied)
    # GroupKFold without shuffling balances sizes; the seed decides between components of one size.
    renumbered = np.random.default_rng(seed).permutation(len(first))[tied]
    return _folds_of(GroupKFold(n_splits), labels, renumbered)


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
    labels, n_components = training["label"].to_numpy(), int(tied.max()) + 1
    if "group" in strategy and training["group"].isna().all():
        raise FoldstackError(
            f"folds.strategy is {strategy!r}, but the data has no groups; add a `group` column or choose 'stratified'."
        )
    if n_components < n_splits:
        raise FoldstackError(
            f"The {len(labels)} training samples form only {n_components} sets that must stay together (same group, or "
            f"the same or nearly the same image), fewer than folds.n_splits {n_splits}; lower folds.n_splits or "
            "data.near_duplicates, or correct the groups."
        )
    if strategy.startswith("stratified"):
        counts = np.bincount(labels, minlength=len(classes))
        rare = int(counts.argmin())
        if counts[rare] < n_splits:
            raise FoldstackError(
                f"Class {classes[rare]!r} has {counts[rare]} training samples, fewer than folds.n_splits {n_splits}; "
                "add samples, leave the class out, lower folds.n_splits or set folds.strategy: plain."
            )
    first = np.unique(tied, return_index=True)[1]
    if strategy == "stratified" and np.bincount(labels[first]).max() < n_splits:
        raise FoldstackError(
            f"No class has {n_splits} sets of samples (same group or identical image stay together); lower "
            "folds.n_splits or set folds.strategy: group."
        )


def _check_folds(labels: np.ndarray, fold: np.ndarray, classes: list[str], n_splits: int) -> None:
    counts = np.zeros((n_splits, len(classes)), np.int64)
    np.add.at(counts, (fold, labels), 1)
    if not counts.sum(axis=1).all():
        empty = int((counts.sum(axis=1) == 0).argmax())
        raise FoldstackError(f"Fold {empty} would hold no sample; lower folds.n_splits.")
    alone = np.argwhere((counts == counts.sum(axis=0)) & (counts > 0))
    if alone.size:
        k, label = alone[0]
        raise FoldstackError(
            f"All {counts[k, label]} training samples of class {classes[label]!r} fall into fold {k}, so its run could "
            "not learn the class; add samples of other groups, or leave the class out."
        )


def _inner_buckets(labels, tied, fold, inner_splits: int, seed: int) -> np.ndarray:
    """(N,) bucket of each sample: each component, largest first, goes where its class is scarcest.

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
    return bucket[tied]


def _check_inner(fold, inner, n_splits: int, inner_splits: int, n_components: int) -> None:
    counts = np.zeros((n_splits, inner_splits), np.int64)
    np.add.at(counts, (fold, inner), 1)
    k = np.arange(n_splits)
    aside = counts.sum(axis=0)[k % inner_splits] - counts[k, k % inner_splits]
    trained = len(fold) - counts.sum(axis=1) - aside
    if n_components < inner_splits or not aside.all() or not trained.all():
        raise FoldstackError(
            f"The {n_components} sets of training samples that must stay together are too few for folds.inner_splits "
            f"{inner_splits} in {n_splits} folds; lower folds.inner_splits or add samples."
        )
