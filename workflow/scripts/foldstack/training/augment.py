"""Random changes to training images, a batch at a time, on the device that trains.

Presets:
    none      nothing.
    standard  small shifts, scales and turns, a little brightness and contrast. No flips: a mirrored digit or letter is
              another sign, and nothing in the data says whether that matters.
    strong    for photographs: larger geometry, horizontal flips, brightness, contrast and (with three channels)
              saturation, and erased rectangles (Zhong et al., arXiv:1708.04896).
    medical   small geometry, a little brightness and contrast as between two scanners. No flips (the heart is on the
              left), no colour changes (stains carry the diagnosis), nothing erased (it may be the lesion).

`recipe` changes a preset key by key, which also reaches what no preset does: cropping, blur, noise, the policies of
RandAugment and TrivialAugment, mixup and cutmix. The two images of a pair change independently; `swap_sides` exchanges
them. Random numbers come from torch's global generator.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Preset:
    """Ranges are symmetric: a value v is drawn from -v..v (scale and colour: factors from 1-v..1+v)."""

    shift: float = 0.0  # share of the side
    scale: float = 0.0
    rotate: float = 0.0  # degrees
    flip: float = 0.0  # probability
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0  # share of the colour circle
    erase: float = 0.0  # probability
    crop: float = 1.0  # smallest share of the area that is kept and enlarged to the whole (random resized crop)
    blur: float = 0.0  # probability
    noise: float = 0.0  # largest standard deviation, of values in 0..1
    policy: str = "none"  # or "randaugment", "trivialaugment"
    mixup: float = 0.0  # parameter of the beta distribution of the shares
    cutmix: float = 0.0


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
CROP_ASPECT = (3 / 4, 4 / 3)  # width / height
BLUR_SIGMA = (0.1, 2.0)  # pixels
GROUPS = 16  # of a batch, each with operations of its own from a policy


def recipe(preset: str, changes: dict) -> Preset | None:
    """A preset with some of its values changed; None where nothing is done to the images."""
    start = PRESETS[preset]
    return replace(start or Preset(), **changes) if changes else start


def augment(images: torch.Tensor, ranges: Preset | None) -> torch.Tensor:
    """Change each image at random.

    Args:
        images: float in 0..1, (N, C, H, W), or (N, 2, C, H, W) for pairs; not modified.

    Returns:
        The same shape, dtype and range.
    """
    if ranges is None:
        return images
    if images.dim() == 5:
        return augment(images.flatten(0, 1), ranges).unflatten(0, (-1, 2))
    if ranges.policy != "none":
        images = _follow(images, ranges.policy)
    if ranges.crop < 1 or any((ranges.shift, ranges.scale, ranges.rotate, ranges.flip)):
        images = _warp(images, ranges)
    if any((ranges.brightness, ranges.contrast, ranges.saturation)):
        images = _jitter(images, ranges)
    if images.shape[1] == 3 and ranges.hue:
        images = _turn_colours(images, ranges.hue)
    if ranges.blur:
        images = _blur(images, ranges.blur)
    if ranges.noise:
        spread = _uniform(images, 0, ranges.noise)[:, None, None, None]
        images = (images + torch.randn_like(images) * spread).clamp(0, 1)
    return _erase(images, ranges.erase) if ranges.erase else images


def mix(
    images: torch.Tensor, targets: torch.Tensor, ranges: Preset | None, n_classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each image, or both of a pair, with its neighbour's in the batch, and the classes in the same shares.

    Torchvision's MixUp (Zhang et al., arXiv:1710.09412) and CutMix (Yun et al., arXiv:1905.04899); where both are
    asked for, each batch takes one of them.

    Args:
        targets: class indices (N,).

    Returns:
        Images of the same shape, and shares of the classes (N, n_classes); both unchanged where nothing is mixed.
    """
    if ranges is None or not (ranges.mixup or ranges.cutmix):
        return images, targets
    from torchvision.transforms import v2

    ways = [
        kind(alpha=alpha, num_classes=n_classes)
        for kind, alpha in ((v2.MixUp, ranges.mixup), (v2.CutMix, ranges.cutmix))
        if alpha
    ]
    mixed, shares = v2.RandomChoice(ways)(images.flatten(1, -3), targets)
    return mixed.view(images.shape), shares


def swap_sides(pairs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Exchange the images of every second pair, on average, and its class with them.

    For two classes that swapping the images turns into each other, such as "left larger" and "right larger".

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
    """Crop, shift, scale, turn and flip with one bilinear resampling; pixels from outside repeat the border."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(_uniform(images, -ranges.rotate, ranges.rotate))
    scale = 1 / _uniform(images, 1 - ranges.scale, 1 + ranges.scale)
    mirror = 1 - 2 * (_uniform(images, 0, 1) < ranges.flip).float()
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    # Grid coordinates run from -1 to 1 on both axes, so a turn in pixels needs the ratio of the sides.
    x = torch.stack([cosine * mirror, -sine * (height / width), 2 * _uniform(images, -ranges.shift, ranges.shift)], 1)
    y = torch.stack([sine * mirror * (width / height), cosine, 2 * _uniform(images, -ranges.shift, ranges.shift)], 1)
    if ranges.crop < 1:
        x, y = _inside(images, ranges.crop, x, y)
    grid = F.affine_grid(torch.stack([x, y], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)


def _inside(images, smallest: float, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (N, 3) of an affine map, for a part of each image instead of the whole.

    Share of the area and aspect are drawn as torchvision's RandomResizedCrop draws them.
    """
    height, width = images.shape[-2:]
    area = _uniform(images, smallest, 1.0) * height * width
    aspect = torch.exp(_uniform(images, *(math.log(value) for value in CROP_ASPECT)))
    wide = ((area * aspect).sqrt() / width).clamp(max=1)
    high = ((area / aspect).sqrt() / height).clamp(max=1)
    left, top = _uniform(images, 0, 1) * (1 - wide), _uniform(images, 0, 1) * (1 - high)
    x, y = x * wide[:, None], y * high[:, None]
    x[:, 2] += 2 * left + wide - 1
    y[:, 2] += 2 * top + high - 1
    return x, y


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


def _turn_colours(images: torch.Tensor, most: float) -> torch.Tensor:
    """Turn the colours of each image about the grey axis, by at most `most` of a full circle; greys stay.

    The hue rotation of Karras et al., arXiv:2006.06676, appendix B: one 3 x 3 matrix an image, after Rodrigues.
    """
    angle = 2 * math.pi * _uniform(images, -most, most)
    cosine, sine = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    unit, mean = torch.eye(3, device=images.device), torch.full((3, 3), 1 / 3, device=images.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=images.device) / math.sqrt(3)
    turn = cosine * unit + sine * cross + (1 - cosine) * mean
    return torch.einsum("nij,njhw->nihw", turn.to(images.dtype), images).clamp(0, 1)


def _blur(images: torch.Tensor, probability: float) -> torch.Tensor:
    """Torchvision's Gaussian blur, of one width in a batch, of some images."""
    from torchvision.transforms.v2.functional import gaussian_blur

    low, high = BLUR_SIGMA
    sigma = (
        float(torch.rand(())) * (high - low) + low
    )  # from the CPU's generator, so that the GPU need not be waited for
    size = max(3, 2 * (min(images.shape[-2:]) // 20) + 1)
    chosen = (_uniform(images, 0, 1) < probability)[:, None, None, None]
    return torch.where(chosen, gaussian_blur(images, [size, size], [sigma, sigma]), images)


def _follow(images: torch.Tensor, policy: str) -> torch.Tensor:
    """Torchvision's RandAugment (Cubuk et al., arXiv:1909.13719) or TrivialAugmentWide (arXiv:2103.10158).

    Operations are drawn for a sixteenth of the batch at a time, which is many times quicker than for every image.
    """
    from torchvision.transforms import v2

    transform = {"randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}[policy]()
    return torch.cat([transform(part) for part in images.tensor_split(min(GROUPS, len(images)))]).clamp(0, 1)


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
