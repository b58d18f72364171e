"""Captions of the samples: embedded once for all runs, and given to the batches of a run.

A run learns from the texts of its batch, each once, however many of its images carry it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from foldstack.errors import FoldstackError
from foldstack.files import atomic
from foldstack.text.reference import checked


@dataclass(frozen=True)
class Captions:
    """The captions of N samples, in their order.

    Attributes:
        texts: of all captions of the data set: (vectors (M, D),), or (ids, mask), both (M, L) int64, for an encoder
            that is trained.
        rows: (N,) int64, the number of each sample's caption among them.
    """

    texts: tuple[torch.Tensor, ...]
    rows: np.ndarray

    def of(self, positions: np.ndarray) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """The texts of some samples, each text once, and (n,) int64 which of them is each sample's."""
        numbers, targets = np.unique(self.rows[positions], return_inverse=True)
        device = self.texts[0].device
        return self.take(numbers), torch.from_numpy(targets).to(device)

    def take(self, numbers: np.ndarray) -> tuple[torch.Tensor, ...]:
        """The texts of these numbers; tokens are cut to the longest of them."""
        chosen = tuple(part[torch.from_numpy(numbers).to(part.device)] for part in self.texts)
        if len(chosen) == 1:
            return chosen
        longest = int(chosen[1].sum(dim=1).max())
        return tuple(part[:, :longest] for part in chosen)


def distinct(samples: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The sorted captions of samples.parquet, each once, and (N,) the number of each sample's.

    Raises:
        FoldstackError: a sample has none.
    """
    empty = samples["caption"].isna()
    if empty.any():
        raise FoldstackError(
            f"text.captions needs a caption for every sample, but {samples.loc[empty, 'sample_id'].iloc[0]!r} has none "
            f"(nor have {int(empty.sum()) - 1} others); fill in the column caption, or leave the samples out."
        )
    texts, numbers = np.unique(samples["caption"].to_numpy(object), return_inverse=True)
    return texts.tolist(), numbers


def write_captions(path, sample_ids: Sequence[str], numbers: np.ndarray, vectors, ids, mask) -> None:
    """Write `vectors` (M, D), `ids`, `mask` (M, L) and `rows` (N,) as safetensors, the ids in its metadata."""
    rows = torch.from_numpy(numbers.astype(np.int64))
    tensors = {"vectors": vectors, "ids": ids.to(torch.int32), "mask": mask.to(torch.uint8), "rows": rows}
    with atomic(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, {"sample_ids": json.dumps(list(sample_ids))})


def read_captions(reference: str, trained: bool, device) -> Callable[[Sequence[str]], Captions]:
    """A function from sample ids to their Captions; tokens where the encoder is `trained`, vectors otherwise.

    Raises:
        FoldstackError: the file of `reference` (`path@digest`) has changed or is broken, or misses a sample.
    """
    path = checked(reference)
    try:
        with safe_open(path, framework="pt") as file:
            texts = tuple(file.get_tensor(name) for name in (("ids", "mask") if trained else ("vectors",)))
            rows = dict(zip(json.loads(file.metadata()["sample_ids"]), file.get_tensor("rows").tolist(), strict=True))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FoldstackError(f"{path} is not a file of captions ({error}); delete it and run again.") from error
    texts = tuple((text.long() if trained else text).to(device) for text in texts)

    def of(sample_ids: Sequence[str]) -> Captions:
        missing = next((name for name in sample_ids if name not in rows), None)
        if missing is not None:
            raise FoldstackError(f"{path} has no caption of {missing!r}; delete it and run again.")
        return Captions(texts, np.array([rows[name] for name in sample_ids], np.int64))

    return of
