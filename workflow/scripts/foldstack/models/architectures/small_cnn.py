"""A plain convolutional network for small images: stages of two convolutions, then pooling, in the manner of VGG.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556, with batch
normalisation and global average pooling, so that any image size fits.
"""

from torch import nn

TASK = "images"


def build(*, in_channels: int, n_classes: int, image_size, width: int = 32, stages: int = 2, dropout: float = 0.2):
    """Float (N, in_channels, H, W) to logits (N, n_classes).

    Args:
        width: channels of the first stage; each further stage has twice as many.
        stages: number of stages; each but the last halves height and width.
        dropout: share of the pooled features that are dropped in training.
    """
    layers, channels = [], in_channels
    for stage in range(stages):
        for _ in range(2):
            layers += conv_block(channels, width * 2**stage)
            channels = width * 2**stage
        if stage < stages - 1:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, n_classes)]
    return nn.Sequential(*layers, *head)


def conv_block(in_channels: int, out_channels: int) -> list[nn.Module]:
    """A 3x3 convolution that keeps the size, batch normalisation, ReLU."""
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
