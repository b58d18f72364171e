"""The members of an ensemble: the collected predictions of all base models, joined by sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.ensemble import quorum
from foldstack.ensemble.stacking import METHODS, OPTIONAL
from foldstack.errors import FoldstackError
from foldstack.probabilities import softmax


@dataclass(frozen=True)
class Members:
    """Predictions of all base models, joined by sample.

    Attributes:
        seeds: {model: its seeds}; the order of the models is that of the meta-features.
        classes: C names.
        labels: (N,) int64 class indices of the training samples, which are sorted by `sample_id`.
        sample_ids, folds: (N,) of the training samples.
        test_ids, test_labels: (T,) of the test samples, sorted by `sample_id`.
        oof: {(model, seed): (N, C) float32 logits}, in the files until they are asked for.
        test: {(model, seed): (n_splits, T, C) float32 logits}: one prediction from each fold's network.
    """

    seeds: dict[str, list[int]]
    classes: list[str]
    sample_ids: np.ndarray
    folds: np.ndarray
    labels: np.ndarray
    test_ids: np.ndarray
    test_labels: np.ndarray
    oof: dict[tuple[str, int], np.ndarray]
    test: dict[tuple[str, int], np.ndarray]

    @property
    def models(self) -> list[str]:
        return list(self.seeds)

    def seed_averaged_oof(self) -> "SeedAveraged":
        """(M, N, C)."""
        return SeedAveraged([[self.oof[model, seed] for seed in self.seeds[model]] for model in self.models])

    def seed_averaged_test(self) -> "SeedAveraged":
        """(M, n_splits, T, C), one fold at a time."""
        return SeedAveraged([[self.test[model, seed] for seed in self.seeds[model]] for model in self.models])


class SeedAveraged:
    """Probabilities of M models, each the mean over its seeds, made only for the models and rows that are asked for.

    To be read like a float64 array (M, ...): `x[0]`, `x[:, rows]`, `x[[0, 2], rows]`, where `rows` are a slice or
    positions. All of it at once may not fit into memory: go through it by `probabilities.blocks`.

    Args:
        logits: for each model those of its seeds, all (..., C) float32.
    """

    def __init__(self, logits: list[list[np.ndarray]]):
        self.logits = logits
        self.shape = (len(logits), *logits[0][0].shape)

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, key) -> np.ndarray:
        models, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(models, (int, np.integer)):
            return self._mean(int(models), tuple(rest))
        chosen = np.arange(len(self))[models]
        return np.stack([self._mean(model, tuple(rest)) for model in chosen])

    def of(self, models: Sequence[int]) -> "SeedAveraged":
        """Some of the models."""
        return SeedAveraged([self.logits[model] for model in models])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def _mean(self, model: int, rest: tuple) -> np.ndarray:
        seeds = self.logits[model]
        total = softmax(seeds[0][rest])
        for logits in seeds[1:]:
            total += softmax(logits[rest])
        return total / len(seeds)


def read_members(
    oof_paths: Sequence[str], test_paths: Sequence[str], seeds: dict[str, list[int]], samples, classes
) -> Members:
    """Read the collected predictions of all (model, seed), in the order of `seeds`; joins by `sample_id`.

    Raises:
        FoldstackError: there is not exactly one path for each (model, seed), or the files differ in samples or folds.
    """
    keys = [(model, seed) for model, model_seeds in seeds.items() for seed in model_seeds]
    files = zip(keys, _in_order(oof_paths, keys), _in_order(test_paths, keys), strict=True)
    by_split = {split: rows.set_index("sample_id")["label"].sort_index() for split, rows in samples.groupby("split")}
    train = by_split["train"]
    test = by_split.get("test", train.iloc[:0])
    oof, tests, folds = {}, {}, None
    for key, oof_path, test_path in files:
        frame = _sorted(tables.read_predictions(oof_path, classes), ["sample_id"])
        folds = frame["fold"].to_numpy() if folds is None else folds
        same = np.array_equal(frame["sample_id"].to_numpy(str), train.index.to_numpy(str))
        if not same or not np.array_equal(frame["fold"].to_numpy(), folds):
            raise FoldstackError(
                f"{oof_path} has other samples or folds than the other files; delete it and run again."
            )
        oof[key] = tables.logits(frame)
        tests[key] = _by_fold(test_path, classes, test.index.to_numpy(str), int(folds.max()) + 1)
    assert folds is not None, "no seeds"
    return Members(
        seeds={model: list(model_seeds) for model, model_seeds in seeds.items()},
        classes=list(classes),
        sample_ids=train.index.to_numpy(),
        folds=folds,
        labels=train.to_numpy(np.int64),
        test_ids=test.index.to_numpy(),
        test_labels=test.to_numpy(np.int64),
        oof=oof,
        test=tests,
    )


def read_stacked(inputs, seeds: dict[str, list[int]], stack: dict, samples, classes) -> Members:
    """As `read_members`, for the members that the stack was fitted on: `seeds` without those that it left out.

    Args:
        inputs: holds the paths `oof` and `test`, empty files among them for what was left out.
        stack: stack.json.
    """
    oof, test = quorum.present(inputs.oof, inputs.test)
    return read_members(oof, test, quorum.without(seeds, stack["left_out"]), samples, classes)


def _in_order(paths: Sequence[str], keys: list[tuple[str, int]]) -> list[str]:
    """The path of each (model, seed), found by its end `<model>/seed<seed>.arrow`, not by its position."""
    by_name = {Path(path).parts[-2:]: path for path in paths}
    names = [(model, f"seed{seed}.arrow") for model, seed in keys]
    if len(paths) != len(keys) or set(by_name) != set(names):
        raise FoldstackError(
            f"The files {sorted(map(str, paths))} are not exactly one for each member (model, seed) {keys}."
        )
    return [by_name[name] for name in names]


def _by_fold(path, classes: Sequence[str], test_ids: np.ndarray, n_splits: int) -> np.ndarray:
    """(n_splits, T, C) logits from a test table; every fold must predict every test sample."""
    frame = _sorted(tables.read_predictions(path, classes, keys=("fold", "sample_id")), ["fold", "sample_id"])
    same = np.array_equal(frame["sample_id"].to_numpy(str), np.tile(test_ids, n_splits))
    if not same or not np.array_equal(frame["fold"].to_numpy(), np.repeat(np.arange(n_splits), len(test_ids))):
        raise FoldstackError(
            f"{path} does not predict each of {len(test_ids)} test samples once with each of {n_splits} folds' "
            "networks; delete it and run again."
        )
    return tables.logits(frame).reshape(n_splits, len(test_ids), len(classes))


def _sorted(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """By the keys. The files are, and then nothing is copied."""
    return frame if frame.set_index(keys).index.is_monotonic_increasing else frame.sort_values(keys, ignore_index=True)


def methods_table(by_method: dict[str, np.ndarray], sample_ids, folds=None) -> pd.DataFrame:
    """stack/oof.arrow (with `folds`) or stack/test.arrow from {method: (N, C) logits}."""
    extra = {} if folds is None else {"fold": folds}
    blocks = [
        tables.predictions(sample_ids, values, method=np.full(len(sample_ids), method, dtype=object), **extra)
        for method, values in by_method.items()
    ]
    return pd.concat(blocks, ignore_index=True)


def read_methods(path, sample_ids, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """{method: (N, C) float32 logits} from a table of `methods_table`, rows in the order of `sample_ids`."""
    frame = tables.read_predictions(path, classes, keys=("method", "sample_id"))
    found = {}
    for method in METHODS:
        places = np.flatnonzero(frame["method"] == method)
        if len(frame) and not len(places) and method in OPTIONAL:
            continue
        rows = frame.iloc[places[0] : places[-1] + 1] if len(places) else frame.iloc[:0]
        if len(rows) != len(sample_ids) or set(rows["sample_id"]) != set(sample_ids):
            raise FoldstackError(f"{path} does not predict every sample by {method}; delete it and run again.")
        in_order = np.array_equal(rows["sample_id"].to_numpy(str), np.asarray(sample_ids, str))
        found[method] = tables.logits(rows if in_order else rows.set_index("sample_id").loc[sample_ids])
    return found
