"""Samples and folds of a check that runs the whole pipeline again: a fold held out, another draw of the folds."""

import numpy as np
import pandas as pd

from foldstack.errors import FoldstackError


def refuse_given_folds(check: str, strategy: str) -> None:
    """Raise FoldstackError where the folds cannot be drawn again."""
    if strategy == "predefined":
        raise FoldstackError(
            f"`{check}` draws new folds, but folds.strategy is predefined; choose another strategy, or do not run it."
        )


def refuse_equal_folds(digests: list[str]) -> None:
    """Raise FoldstackError where two draws gave the same folds, so that the second adds nothing."""
    if len(set(digests)) < len(digests):
        raise FoldstackError(
            "Two draws of the folds are the same: the data allow too few; lower repeated.draws or folds.n_splits."
        )


def hold_out(samples: pd.DataFrame, folds: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The training samples, of which those of `fold` become the test split; samples.parquet in and out."""
    training = samples[samples["split"] == "train"].copy()
    out = training["sample_id"].isin(folds.loc[folds["fold"] == fold, "sample_id"])
    training.loc[out, "split"] = "test"
    return training.reset_index(drop=True)


def training_labels(samples: pd.DataFrame) -> pd.Series:
    """(N,) class indices of the training samples by `sample_id`, sorted by it."""
    return samples[samples["split"] == "train"].set_index("sample_id")["label"].sort_index()


def joined(parts: list[dict[str, np.ndarray]], folds: np.ndarray) -> dict[str, np.ndarray]:
    """{method: (N, C)} from one {method: (rows of fold k, C)} a fold."""
    whole = {method: np.empty((len(folds), values.shape[1]), values.dtype) for method, values in parts[0].items()}
    for fold, part in enumerate(parts):
        for method, values in part.items():
            whole[method][folds == fold] = values
    return whole
