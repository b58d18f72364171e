"""A siamese network for pairs of images: one tower for both sides, then a head on their fused features.

Bromley et al., "Signature Verification using a Siamese Time Delay Neural Network", NIPS 1993; the fusion
[a, b, a - b, a * b] follows Conneau et al., arXiv:1705.02364, without the absolute value, so that order counts.
"""

import torch
from torch import nn

from foldstack.models.architectures.small_cnn import conv_block

TASK = "pairs"


def build(
    *,
    in_channels: int,
    n_classes: int,
    image_size,
    width: int = 32,
    stages: int = 2,
    features: int = 64,
    dropout: float = 0.2,
):
    """Float (N, 2, in_channels, H, W) to logits (N, n_classes).

    Args:
        width: channels of the tower's first stage; each further stage has twice as many.
        stages: stages of the tower; each halves height and width.
        features: numbers that the tower gives for one image.
        dropout: share of the fused features that are dropped in training.
    """
    return Siamese(in_channels, n_classes, width, stages, features, dropout)


class Siamese(nn.Module):
    def __init__(self, in_channels, n_classes, width, stages, features, dropout):
        super().__init__()
        layers, channels = [], in_channels
        for stage in range(stages):
            for _ in range(2):
                layers += conv_block(channels, width * 2**stage)
                channels = width * 2**stage
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.tower = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, features))
        self.head = nn.Sequential(
            nn.Linear(4 * features, 2 * features), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * features, n_classes)
        )

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        towers = self.tower(pairs.flatten(0, 1)).unflatten(0, (-1, 2))
        left, right = towers[:, 0], towers[:, 1]
        return self.head(torch.cat([left, right, left - right, left * right], dim=1))
