"""A plain convolutional network that learns small photographs in few epochs, after airbench.

Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498: each stage pools right after its first
convolution, where other networks still compute at full resolution; normalisation has shifts but no scales, convolutions
start as near to the identity as they can, and the logits are scaled down. Its whitening layer, which depends on the
images, is an ordinary convolution here.
"""

from collections.abc import Sequence

import torch
from torch import nn

TASK = "images"


def build(
    *,
    in_channels: int,
    n_classes: int,
    image_size,
    stem: int = 24,
    widths: Sequence[int] = (64, 256, 256),
    scale: float = 1 / 9,
):
    """Float (N, in_channels, H, W) to logits (N, n_classes).

    Args:
        stem: channels of the first convolution.
        widths: channels of each stage; a stage halves height and width.
        scale: of the logits.
    """
    first = nn.Conv2d(in_channels, stem, 3, padding=1)
    layers: list[nn.Module] = [first, nn.GELU()]
    channels = stem
    for width in widths:
        layers += [conv(channels, width), nn.MaxPool2d(2, ceil_mode=True), norm(width), nn.GELU()]
        layers += [conv(width, width), norm(width), nn.GELU()]
        channels = width
    head = nn.Linear(channels, n_classes, bias=False)
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head, Scaled(scale))


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3x3 convolution whose first `in_channels` outputs start as its inputs."""
    made = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(made.weight[: min(in_channels, out_channels)])
    return made


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with a learnt shift and without a learnt scale; its statistics forget quickly."""
    made = nn.BatchNorm2d(channels, momentum=0.4, eps=1e-12)
    made.weight.requires_grad_(False)
    return made


class Scaled(nn.Module):
    """Logits times a constant."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return self.scale * logits
