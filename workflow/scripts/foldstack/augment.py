"""Random changes to training images, a batch at a time, on the device that trains.

Presets:
    none      nothing.
    standard  small shifts, scales and turns, a little brightness and contrast. No flips: a mirrored digit or letter is
              another sign, and nothing in the data says whether that matters.
    strong    for photographs: larger geometry, horizontal flips, brightness, contrast and (with three channels)
              saturation, and erased rectangles (Zhong et al., arXiv:1708.04896).
    medical   small geometry, a little brightness and contrast as between two scanners. No flips (the heart is on the
              left), no colour changes (stains carry the diagnosis), nothing erased (it may be the lesion).

The two images of a pair change independently; `swap_sides` exchanges them. Random numbers come from torch's global
generator.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Preset:
    """Ranges are symmetric: a value v is drawn from -v..v (scale and colour: factors from 1-v..1+v)."""

    shift: float  # share of the side
    scale: float
    rotate: float  # degrees
    flip: float = 0.0  # probability
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    erase: float = 0.0  # probability


PRESETS = {
    "none": None,
    "standard": Preset(shift=0.08, scale=0.1, rotate=10, brightness=0.1, contrast=0.1),
    "strong": Preset(
        shift=0.12, scale=0.2, rotate=15, flip=0.5, brightness=0.3, contrast=0.3, saturation=0.3, erase=0.25
    ),
    "medical": Preset(shift=0.05, scale=0.08, rotate=8, brightness=0.08, contrast=0.08),
}
ERASED_SHARE = (0.02, 0.2)  # of the area
ERASED_ASPECT = (0.5, 2.0)  # height / width


def augment(images: torch.Tensor, preset: str) -> torch.Tensor:
    """Change each image at random.

    Args:
        images: float in 0..1, (N, C, H, W), or (N, 2, C, H, W) for pairs; not modified.
        preset: a key of PRESETS.

    Returns:
        The same shape, dtype and range.
    """
    ranges = PRESETS[preset]
    if ranges is None:
        return images
    if images.dim() == 5:
        return augment(images.flatten(0, 1), preset).unflatten(0, (-1, 2))
    images = _warp(images, ranges)
    images = _jitter(images, ranges)
    return _erase(images, ranges.erase) if ranges.erase else images


def swap_sides(pairs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Exchange the images of every second pair, on average, and its class with them.

    For two classes of which one is the other seen from the other side, such as "left larger" and "right larger".

    Args:
        pairs: (N, 2, C, H, W); not modified.
        targets: (N,) of 0 and 1; not modified.
    """
    chosen = torch.rand(len(pairs), device=pairs.device) < 0.5
    swapped = torch.where(chosen[:, None, None, None, None], pairs.flip(1), pairs)
    return swapped, torch.where(chosen, 1 - targets, targets)


def _uniform(images: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """(N,) numbers, one an image."""
    return torch.rand(len(images), device=images.device) * (high - low) + low


def _warp(images: torch.Tensor, ranges: Preset) -> torch.Tensor:
    """Shift, scale, turn and flip with one bilinear resampling; what comes in from outside repeats the border."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(_uniform(images, -ranges.rotate, ranges.rotate))
    scale = 1 / _uniform(images, 1 - ranges.scale, 1 + ranges.scale)
    mirror = 1 - 2 * (_uniform(images, 0, 1) < ranges.flip).float()
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # Grid coordinates run from -1 to 1 on both axes, so a turn in pixels needs the ratio of the sides.
    x = torch.stack([cosine * mirror, -sine * (height / width), 2 * _uniform(images, -ranges.shift, ranges.shift)], 1)
    y = torch.stack([sine * mirror * (width / height), cosine, 2 * _uniform(images, -ranges.shift, ranges.shift)], 1)
    grid = F.affine_grid(torch.stack([x, y], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)


def _jitter(images: torch.Tensor, ranges: Preset) -> torch.Tensor:
    """Saturation, contrast about the image's mean, brightness."""

    def factor(spread: float) -> torch.Tensor:
        return _uniform(images, 1 - spread, 1 + spread)[:, None, None, None]

    if images.shape[1] == 3 and ranges.saturation:
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * factor(ranges.saturation)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factor(ranges.contrast)
    return (images * factor(ranges.brightness)).clamp(0, 1)


def _erase(images: torch.Tensor, probability: float) -> torch.Tensor:
    """Fill one rectangle of some images with the image's mean colour."""
    height, width = images.shape[-2:]
    share = _uniform(images, *ERASED_SHARE)
    aspect = torch.exp(_uniform(images, *(math.log(value) for value in ERASED_ASPECT)))
    half_height, half_width = (share * aspect).sqrt() / 2, (share / aspect).sqrt() / 2
    rows = (torch.arange(height, device=images.device) + 0.5) / height
    columns = (torch.arange(width, device=images.device) + 0.5) / width
    in_rows = (rows - _uniform(images, 0, 1)[:, None]).abs() < half_height[:, None]
    in_columns = (columns - _uniform(images, 0, 1)[:, None]).abs() < half_width[:, None]
    chosen = (_uniform(images, 0, 1) < probability)[:, None, None]
    mask = (in_rows[:, :, None] & in_columns[:, None, :] & chosen)[:, None]
    return torch.where(mask, images.mean(dim=(2, 3), keepdim=True), images)
