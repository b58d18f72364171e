"""A small vision transformer with a convolutional stem.

Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929, with mean pooling in place of a class token; the
stem of strided 3x3 convolutions in place of patches is that of Xiao et al., "Early Convolutions Help Transformers See
Better", arXiv:2106.14881: without it, small data sets are learnt slowly or not at all.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

TASK = "images"


def build(
    *,
    in_channels: int,
    n_classes: int,
    image_size,
    halvings: int = 2,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.1,
):
    """Float (N, in_channels, H, W) of exactly `image_size` to logits (N, n_classes).

    Args:
        halvings: convolutions of stride 2 in the stem; a token covers 2**halvings x 2**halvings pixels.
        width: features of a token, a multiple of `heads`.
        depth: number of transformer blocks.
        dropout: share dropped after attention and after each MLP in training.
    """
    return VisionTransformer(in_channels, n_classes, image_size, halvings, width, depth, heads, dropout)


class VisionTransformer(nn.Module):
    def __init__(self, in_channels, n_classes, image_size, halvings, width, depth, heads, dropout):
        super().__init__()
        widths = [in_channels, *(width // 2 ** (halvings - step) for step in range(halvings)), width]
        stem = []
        for step, (before, after) in enumerate(itertools.pairwise(widths)):
            stride = 2 if step < halvings else 1
            stem += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.stem = nn.Sequential(*stem, nn.Conv2d(width, width, 1))
        tokens = math.prod(math.ceil(side / 2**halvings) for side in image_size)
        self.positions = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(images).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


class Block(nn.Module):
    """Pre-normalised attention and MLP: (N, tokens, width) to the same shape."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.drop(self.attention(self.norm1(tokens)))
        return tokens + self.drop(self.mlp(self.norm2(tokens)))

    def attention(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.project(mixed.transpose(1, 2).flatten(2))
