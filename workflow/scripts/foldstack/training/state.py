"""The data of a run, and its progress."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch


class Captions(Protocol):
    """text.captions.Captions, which only the networks import that learn from them."""

    def of(self, positions: np.ndarray) -> "tuple[tuple[torch.Tensor, ...], torch.Tensor]": ...


@dataclass
class Subset:
    """Samples of one purpose: ids (N texts), rows in the stored pixels and labels (N,) int64.

    `soft_labels`, float32 (N, C), are what a student learns instead of the labels; see `student.py`. `captions` are
    for a network that compares images with texts.
    """

    ids: list[str]
    rows: np.ndarray
    labels: np.ndarray
    soft_labels: np.ndarray | None = None
    captions: Captions | None = None

    @property
    def targets(self) -> np.ndarray:
        """What a network is trained to answer."""
        return self.labels if self.soft_labels is None else self.soft_labels


@dataclass(frozen=True)
class Data:
    """What a network learns from.

    Attributes:
        read: maps rows (N,) int64 to uint8 pixels on the device that trains; a function `prefetch` of it, where it has
            one, takes the rows that will be asked for next.
        train: samples to learn from.
        selection: samples to choose the epoch by; empty under `selection: final`.
    """

    read: "Callable[[np.ndarray], torch.Tensor]"
    train: Subset
    selection: Subset


@dataclass
class State:
    """The progress of a run, apart from its parameters and its optimizer."""

    epoch: int = 0  # 0-based, current epoch
    step: int = 0  # steps of this epoch that are done
    loss_sum: float = 0.0  # over the samples seen in this epoch
    history: list[dict] = field(default_factory=list)  # a row of history.csv for each finished epoch
    measured: list[dict] = field(
        default_factory=list
    )  # `time` and other figures of these epochs that go into no output
    selected_epoch: int = 0  # 1-based; 0 = none yet
    selected_weights: dict | None = None
    micro_batch: int | None = None  # samples at a time where a whole batch does not fit into memory
    predict_batch: int | None = None  # the same for predictions
    world_size: int = 1  # ranks that the run began with; each took `batch_size` samples of a step
    seconds: float = 0.0  # spent in earlier attempts
