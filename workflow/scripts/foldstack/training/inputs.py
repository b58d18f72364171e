"""What a run reads: its samples by purpose, and their pixels."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from foldstack import tables
from foldstack.data import pixels as pixels_of
from foldstack.errors import FoldstackError
from foldstack.folds.split import split_ids
from foldstack.training.state import Subset

IN_MEMORY_BYTES = 512 * 2**20


def read_subsets(samples, folds, fold: int, selection: str) -> dict[str, Subset]:
    """The run's samples by purpose: `train`, `selection`, `oof` (the held-out fold) and `test`; all joined by id."""
    table = tables.read_samples(samples).set_index("sample_id")
    train, inner, held_out = split_ids(tables.read_folds(folds), fold, selection)
    test = table.index[table["split"] == "test"]
    ids = {"train": train, "selection": inner, "oof": held_out, "test": sorted(test)}
    unknown = sorted(set().union(train, inner, held_out) - set(table.index[table["split"] == "train"]))
    if unknown:
        raise FoldstackError(f"{folds} names {unknown[0]!r}, which is not a training sample of {samples}; run again.")
    return {key: _subset(table.loc[list(value)]) for key, value in ids.items()}


def _subset(rows: pd.DataFrame) -> Subset:
    return Subset(
        list(rows.index), rows["row"].to_numpy(np.int64, copy=True), rows["label"].to_numpy(np.int64, copy=True)
    )


def open_pixels(path, device: str) -> Callable[[np.ndarray], torch.Tensor]:
    """A function from rows (N,) int64 to their uint8 pixels on `device`; a small data set is loaded there as a whole.

    Where pixels must be decoded, it has a function `prefetch` that takes the rows it will be asked for next.
    """
    stored = pixels_of.open_pixels(path, torch.get_num_threads())
    if stored.nbytes > IN_MEMORY_BYTES:
        if isinstance(stored, np.ndarray):
            return lambda rows: torch.from_numpy(stored[rows]).to(device)
        ahead = pixels_of.Prefetcher(stored)

        def decode(rows: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(ahead(rows)).to(device)

        decode.prefetch = ahead.prefetch  # type: ignore[attr-defined]  # a type of function cannot tell of it
        return decode
    held = torch.from_numpy(np.array(stored[:])).to(device)
    return lambda rows: held[torch.from_numpy(rows).to(device)]
