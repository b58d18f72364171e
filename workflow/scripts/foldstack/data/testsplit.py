"""The test split: drawn before anything else, or given by the data and then checked."""

import numpy as np
import pandas as pd

from foldstack.data.ties import components, sets, way_out, what_ties
from foldstack.errors import FoldstackError


def cut(frame: pd.DataFrame, classes: list[str], fraction: float, seed: int, linked=()) -> list[str]:
    """`train` or `test` for each sample: a stratified share that keeps tied samples together.

    Components (see `ties`) are visited in random order; one goes to the test split if that brings the split's class
    counts closer (in squares) to `fraction` of each class. Without ties this is exact to half a sample a class.

    Args:
        frame: columns `sample_id`, `label`, `group`, `view_hashes`.
        fraction: of each class; 0 makes no test split.
        linked: positions of samples with nearly equal images, (P, 2).

    Raises:
        FoldstackError: one of the splits would miss a class or be empty.
    """
    if not fraction:
        return ["train"] * len(frame)
    tied = components(frame["group"].tolist(), frame["view_hashes"].tolist(), linked)
    labels = frame["label"].to_numpy()
    by_component: dict[int, dict[int, int]] = {}
    for component, label in zip(tied.tolist(), labels.tolist(), strict=True):
        counts = by_component.setdefault(component, {})
        counts[label] = counts.get(label, 0) + 1
    wanted = (fraction * np.bincount(labels, minlength=len(classes))).tolist()
    chosen = np.zeros(len(by_component), dtype=bool)
    for component in np.random.default_rng(seed).permutation(len(chosen)).tolist():
        counts = by_component[component]
        if sum(n * n for n in counts.values()) < 2 * sum(n * wanted[label] for label, n in counts.items()):
            chosen[component] = True
            for label, n in counts.items():
                wanted[label] -= n
    test = chosen[tied]
    _check_cut(frame, test, tied, classes, fraction)
    return np.where(test, "test", "train").tolist()


def _check_cut(frame: pd.DataFrame, test: np.ndarray, tied: np.ndarray, classes: list[str], fraction: float) -> None:
    if not test.any():
        sizes = np.bincount(tied)
        largest = frame[tied == sizes.argmax()]
        words = (
            f"No test split of {fraction:g} can be made: the {len(test)} samples form {sets(len(sizes))} that must "
            f"stay together (same group or identical image), and each set is too large. In the largest, "
            f"of {len(largest)} samples, {what_ties(largest)}. {way_out(frame)}"
        )
        if len(sizes) > 1:
            words += " Or give test data, or train on all samples with data.test_fraction: 0."
        raise FoldstackError(words)
    labels = frame["label"].to_numpy()
    left = np.bincount(labels[~test], minlength=len(classes))
    if not left.all():
        raise FoldstackError(
            f"A test split of {fraction:g} of the samples would leave no training sample of class "
            f"{classes[int(left.argmin())]!r}; lower data.test_fraction, change data.seed or give a test split."
        )


def check_given(frame: pd.DataFrame) -> None:
    """Raise FoldstackError where a group has samples in both splits."""
    grouped = frame[frame["group"].notna()]
    splits = grouped.groupby("group", sort=True)["split"].nunique()
    if (splits > 1).any():
        group = splits.index[splits > 1][0]
        members = grouped[grouped["group"] == group].drop_duplicates("split").set_index("split")["sample_id"]
        raise FoldstackError(
            f"Group {group!r} has samples in the training split ({members['train']!r}) and in the test split "
            f"({members['test']!r}); keep the group in one of them."
        )
