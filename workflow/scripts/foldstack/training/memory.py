"""When memory runs out: repeat the work in smaller parts, and raise a clear error where that does not help."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import torch

from foldstack.errors import FoldstackError

T = TypeVar("T")
CPU_MESSAGES = ("not enough memory", "can't allocate memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """True for the errors of CUDA's allocator, torch's allocator on the CPU, and Python itself."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in CPU_MESSAGES)


def in_halves(compute: Callable[[int], T], size: int, *, undo: Callable[[], None] | None = None) -> tuple[T, int]:
    """`compute(size)`, halving the size as long as memory runs out; returns the result and the size that fitted.

    Args:
        compute: does the whole work in parts of at most `size` samples.
        undo: called after a failed attempt.

    Raises:
        the last error, where one sample at a time is still too much, or batch normalisation needs more than one.
    """
    first = size
    while True:
        try:
            return compute(size), size
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        except ValueError as error:
            if size < first and "more than 1 value per channel" in str(error):
                raise MemoryError(f"parts of {size} samples are too few for batch normalisation") from error
            raise
        # After the `except`, where no traceback keeps the tensors of the failed attempt alive.
        size = -(-size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if undo:
            undo()


def at_once(compute: Callable[[int], T], size: int, *, undo: Callable[[], None] | None = None) -> tuple[T, int]:
    """`compute(size)` with the interface of `in_halves`: ranks that wait for each other cannot repeat a step alone."""
    return compute(size), size


@contextlib.contextmanager
def report_out_of_memory(name: str, world_size: int = 1):
    """Turn an out-of-memory error of the block into a FoldstackError that names the run and the remedy."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        what = (str(error).splitlines() or [type(error).__name__])[0]
        if world_size > 1:
            raise FoldstackError(
                f"{name} does not fit into the memory of one of its {world_size} GPUs ({what}); lower batch_size, the "
                "samples that each GPU takes in a step (with gpus: 1, parts are halved automatically)."
            ) from error
        raise FoldstackError(
            f"{name} does not fit into memory, however small its micro-batches ({what}); "
            "lower image_size or choose a smaller architecture."
        ) from error


class Buffers:
    """Buffers of a module, such as running statistics, which a failed attempt at a step may have changed."""

    def __init__(self, module: torch.nn.Module):
        self.groups: dict[torch.dtype, tuple[list, list]] = {}
        for buffer in module.buffers():
            live, spare = self.groups.setdefault(buffer.dtype, ([], []))
            live.append(buffer)
            spare.append(buffer.clone())

    @torch.no_grad()
    def remember(self) -> None:
        for live, spare in self.groups.values():
            torch._foreach_copy_(spare, live)  # one kernel for all

    @torch.no_grad()
    def reset(self) -> None:
        for live, spare in self.groups.values():
            torch._foreach_copy_(live, spare)
