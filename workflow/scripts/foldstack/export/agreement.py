"""Does an exported file compute the same as its parts? One measure, one message and one set of batches for all gates.

Each gate (of one model, of the ensemble, of a variant, of a student) makes its own comparisons; how they are made, and
when they fail, is said here only.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from foldstack.errors import FoldstackError

# Two classes this close in probability are a tie, which the last bit of a float32 decides, not a flip.
TIE = 1e-6
# Runs on a GPU may have predicted in lower precision; a larger difference means mixed-up weights or rows.
DEVICE_TOLERANCE = 0.02
SIZES = (1, 2, 7)  # batches
BATCH_TOLERANCE = 1e-4  # of a row in a batch against the row alone, where both are computed in float32


def spread(rows: int, count: int) -> np.ndarray:
    """Positions of up to `count` of `rows` rows, evenly spread from the first to the last."""
    return np.unique(np.linspace(0, rows - 1, min(count, rows)).astype(int))


def choose_samples(samples: pd.DataFrame, count: int, folds: pd.DataFrame) -> pd.DataFrame:
    """Up to `count` samples, spread evenly over the test split; over the training split where there is no test.

    samples and folds are the tables of samples.parquet and folds.parquet; returns rows of samples in the order of
    `sample_id`. Training samples include some of every fold, whatever the count.
    """
    split = "test" if (samples["split"] == "test").any() else "train"
    rows = samples[samples["split"] == split].sort_values("sample_id", ignore_index=True)
    chosen = spread(len(rows), count)
    if split == "train":
        fold = folds.set_index("sample_id")["fold"].loc[rows["sample_id"]].to_numpy()
        chosen = np.unique(np.concatenate([chosen, np.unique(fold, return_index=True)[1]]))
    return rows.iloc[chosen]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference; infinite where a number is not finite."""
    largest = float(np.abs(found - expected).max())
    return largest if np.isfinite(largest) else float("inf")


def margin(probabilities: np.ndarray) -> np.ndarray:
    """(N,) how far the largest of each row of (N, C) is above the second largest."""
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return first - second


def flips(found: np.ndarray, expected: np.ndarray) -> int:
    """Rows of (N, C) whose label differs, though the two largest expected probabilities are not a tie."""
    return int(((found.argmax(axis=1) != expected.argmax(axis=1)) & (margin(expected) > TIE)).sum())


def require(path, reference: str, what: str, difference: float, tolerance: float, flips: int = 0) -> None:
    """Refuse a file whose `what` are further from those of `reference` than allowed, or that gives other labels."""
    if not difference <= tolerance or flips:
        raise FoldstackError(
            f"{path} does not agree with {reference}: its {what} differ by up to {difference:.2g} "
            f"({tolerance:.2g} is allowed; see export.tolerance) and {flips} labels flip; "
            "delete it and export it again, and do not deploy it."
        )


def check_batches(
    path, run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, tolerance: float = BATCH_TOLERANCE
) -> float:
    """How far a row in a batch of SIZES is from the same row alone, at most.

    Args:
        path: for the message.
        run: outputs (n, ...) of uint8 images (n, ...).
        images: at least one; repeated where the largest batch needs more.

    Raises:
        FoldstackError: a batch has outputs of another shape, or a row depends on its batch by more than `tolerance`.
    """
    images = images[np.arange(max(SIZES)) % len(images)]
    alone = np.concatenate([run(image[None]) for image in images])
    largest = 0.0
    for size in SIZES:
        found = run(images[:size])
        if found.shape != (size, *alone.shape[1:]):
            raise FoldstackError(
                f"{path} is wrong at a batch of {size}: its outputs have the shape {found.shape}; "
                "delete it and export it again, and do not deploy it."
            )
        apart = difference(found, alone[:size])
        if not apart <= tolerance:
            raise FoldstackError(
                f"{path} is wrong at a batch of {size}: a row differs by up to {apart:.2g} from the same row alone; "
                "delete it and export it again, and do not deploy it."
            )
        largest = max(largest, apart)
    return largest
