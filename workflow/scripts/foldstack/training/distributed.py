"""One run on several GPUs: what its ranks share, on top of torch's DistributedDataParallel.

A rank is a process with a GPU of its own; launcher.py starts them. Every rank goes through the same steps and takes
its own part of each batch, of each evaluation and of each prediction; whatever decides something (losses, the inner
evaluation, a request to stop) is the same number on all ranks. With one rank nothing here costs anything.
"""

import contextlib
import datetime
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel

from foldstack.models.network import Classifier

T = TypeVar("T")
# A rank that dies is noticed at once (launcher.py); this ends ranks that wait for one that is alive but stuck.
TIMEOUT = datetime.timedelta(minutes=10)


class Group:
    """The ranks of one run, as seen by one of them; `Group()` is a run with a single rank.

    Attributes:
        rank: 0-based; only rank 0 writes files.
        size: the number of ranks ("world size").
    """

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def shard(self, items: np.ndarray) -> np.ndarray:
        """This rank's items; the shards differ by one item at most, and rank 0 has the most."""
        return items[self.rank :: self.size]

    def network(self, classifier: Classifier) -> Callable[..., torch.Tensor]:
        """The function from images, and captions where there are any, to logits; gradients are means over the ranks."""
        if self.size == 1:
            return classifier.classify
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # the option has a newer name, but every version accepts this one
            # Not every architecture of timm uses all its parameters. Buffers: see `average_statistics`.
            return DistributedDataParallel(_Training(classifier), broadcast_buffers=False, find_unused_parameters=True)

    def sync_gradients(self, network, *, last: bool) -> contextlib.AbstractContextManager:
        """One forward and backward pass; only the `last` of a step exchanges the gradients, which add up until then."""
        return contextlib.nullcontext() if last or self.size == 1 else network.no_sync()

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """The sum over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def join(self, parts: np.ndarray, n: int) -> np.ndarray:
        """All n rows (n, C) float32 from each rank's `shard` of them."""
        if self.size == 1:
            return parts
        rows = torch.zeros(n, parts.shape[1])
        rows[self.rank :: self.size] = torch.from_numpy(parts)
        return self.sum(rows).numpy()

    def any_signal(self, number: int | None) -> int | None:
        """The signal that any rank has received, so that all stop after the same step."""
        if self.size == 1:
            return number
        asked = torch.tensor(number or 0)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        return int(asked) or None

    @torch.no_grad()
    def average_statistics(self, classifier: Classifier) -> None:
        """Give all ranks the mean of their running statistics of batch normalisation, as if of the whole batch.

        So all ranks hold the same buffers after every step, and one of them can save for all.
        """
        if self.size == 1:
            return
        norms = [module for module in classifier.modules() if isinstance(module, _NormBase)]
        values = [value for norm in norms for value in (norm.running_mean, norm.running_var) if value is not None]
        if values:
            means = self.sum(torch.cat([value.flatten().float() for value in values])) / self.size
            for value, mean in zip(values, means.split([value.numel() for value in values]), strict=True):
                value.copy_(mean.view_as(value))

    def wait(self) -> None:
        """Go on when all ranks are here."""
        self.any_signal(None)

    def main_first(self, read: Callable[[], T]) -> T:
        """`read()` on every rank; rank 0 goes first, since it removes what is damaged."""
        if self.is_main:
            value = read()
        self.wait()
        return value if self.is_main else read()


class _Training(nn.Module):
    """The pass of training steps as a `forward`, which DistributedDataParallel wraps; evaluations do not use it."""

    def __init__(self, classifier: Classifier):
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor, *captions: torch.Tensor) -> torch.Tensor:
        return self.classifier.classify(images, *captions)


@contextlib.contextmanager
def joined(rank: int, size: int, meeting: Path, device: str) -> Iterator[Group]:
    """Take part as rank `rank` of `size` during the block: NCCL for tensors on GPUs, gloo for those of the CPU.

    Args:
        meeting: a file of this run by which the ranks find each other, the same for all of them.
        device: "cuda", where rank r takes the r-th visible GPU, or "cpu".
    """
    if device == "cuda":
        torch.cuda.set_device(rank)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    store = dist.FileStore(str(meeting), size)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    yield Group(rank, size)
    dist.destroy_process_group()  # not after an error, when it may wait for ranks that have ended


def world_size(gpus: int | Literal["auto"]) -> int:
    """Number of ranks of a run, once its GPUs are claimed: the config's `gpus`, on the CPU too, so that the machine
    does not change what a run learns; for "auto", the number of GPUs that it was given, at least one."""
    given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return max(1, len(given) if gpus == "auto" else gpus)
