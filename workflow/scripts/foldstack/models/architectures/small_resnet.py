"""A compact residual network for small images.

He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385, section 4.2: a 3x3 stem without pooling,
then stages of basic blocks, each stage at half the size and twice the width of the one before.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

TASK = "images"


def build(
    *,
    in_channels: int,
    n_classes: int,
    image_size,
    width: int = 16,
    stages: int = 3,
    blocks: int = 1,
    attention: Literal["none", "se", "cbam"] = "none",
):
    """Float (N, in_channels, H, W) to logits (N, n_classes).

    Args:
        width: channels of the stem and the first stage; each further stage has twice as many.
        stages: number of stages.
        blocks: residual blocks a stage.
        attention: squeeze-and-excitation or CBAM at the end of each block, before the short cut joins.
    """
    attend: Callable[[int], nn.Module] = nn.Identity
    if attention != "none":
        from foldstack.models.pairs.attention import ATTENTION  # imports timm, which the plain network does without

        attend = ATTENTION[attention]
    layers = [nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    channels = width
    for stage in range(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(ResidualBlock(channels, width * 2**stage, stride, attend(width * 2**stage)))
            channels = width * 2**stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, n_classes))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a short cut: (N, in, H, W) to (N, out, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, attention: nn.Module):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.attention = attention
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.norm1(self.conv1(images)))
        return torch.relu(self.attention(self.norm2(self.conv2(features))) + self.shortcut(images))
