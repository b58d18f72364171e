"""Test-time augmentation: several views of the same images, whose logits are averaged."""

import itertools
from collections.abc import Iterator, Sequence

import torch

SHIFT = 1 / 16  # of the side


def views(images: torch.Tensor, kinds: Sequence[str]) -> Iterator[tuple[torch.Tensor, bool]]:
    """Every combination of the `kinds` of views, the unchanged images first.

    flip is a mirror image; shift moves by a sixteenth of the side to the left, right, up and down, repeating the
    border; swap exchanges the images of a pair.

    Args:
        images: (N, C, H, W), or (N, 2, C, H, W) for pairs.

    Yields:
        (images of the same shape, whether the sides are exchanged): 2, 5 or 2 views of each kind, times each other.
    """
    height, width = (max(1, round(side * SHIFT)) for side in images.shape[-2:])
    moves = [(0, 0), (-1, width), (-1, -width), (-2, height), (-2, -height)] if "shift" in kinds else [(0, 0)]
    mirrors, swaps = ([False, True] if kind in kinds else [False] for kind in ("flip", "swap"))
    for swap, mirror, (axis, by) in itertools.product(swaps, mirrors, moves):
        seen = images.flip(1) if swap else images
        seen = seen.flip(-1) if mirror else seen
        yield (moved(seen, axis, by) if by else seen), swap


def moved(images: torch.Tensor, axis: int, by: int) -> torch.Tensor:
    """Images moved by `by` pixels towards higher indices of `axis`; new pixels repeat the border."""
    size = images.shape[axis]
    if by > 0:
        return torch.cat([images.narrow(axis, 0, 1)] * by + [images.narrow(axis, 0, size - by)], dim=axis)
    return torch.cat([images.narrow(axis, -by, size + by)] + [images.narrow(axis, size - 1, 1)] * -by, dim=axis)
