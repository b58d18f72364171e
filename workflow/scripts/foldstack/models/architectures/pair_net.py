"""Networks for pairs of images: one tower for both of them, a fusion of their features, a small head.

Bromley et al., "Signature Verification using a Siamese Time Delay Neural Network", NIPS 1993. The towers are in
pairs/towers.py, the fusions in pairs/fusion.py and pairs/levels.py; every tower works with every fusion.
pairs/options.py says which options exclude each other.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from foldstack.models.pairs.fusion import FUSIONS
from foldstack.models.pairs.levels import LevelsPairNet
from foldstack.models.pairs.towers import build_tower

TASK = "pairs"
TimmName = str  # the registry lists the names


def build(
    *,
    in_channels: int,
    n_classes: int,
    image_size,
    tower: Literal["cnn", "resnet"] | TimmName = "resnet",
    tower_options: dict | None = None,
    layers: Sequence[int] = (2, 2, 2),
    block: Literal["basic", "bottleneck"] = "basic",
    width: int = 32,
    attention: Literal["none", "se", "cbam"] = "none",
    pyramid: bool = False,
    features: int = 128,
    fusion: Literal[
        "difference", "concat", "product", "cosine", "l2", "residual", "adaptive", "bradley_terry", "levels"
    ] = "adaptive",
    antisymmetric: bool = False,
    levels: int = 12,
    dropout: float = 0.2,
):
    """Float (N, 2, in_channels, H, W) to logits (N, n_classes).

    Args:
        tower: `cnn`, `resnet`, or a timm model, which has its own layers and takes `tower_options`.
        layers: convolutions (`cnn`) or residual blocks (`resnet`) of each stage; a stage halves height and width.
        block: kind of residual blocks.
        width: channels of the first stage (times 4 in a `bottleneck`); each further stage has twice as many.
        attention: squeeze-and-excitation or CBAM in each residual block, or after each stage of `cnn`.
        pyramid: features of all stages, joined by a feature pyramid, instead of those of the last one.
        features: numbers that the tower gives for one image.
        fusion: how the features of the two images are combined.
        antisymmetric: p(a, b) = 1 - p(b, a) by construction, for two classes; `bradley_terry` and `levels` always are.
        levels: hidden, ordered levels of the fusion `levels`.
        dropout: share of each image's features that are dropped in training.
    """
    shared = build_tower(
        tower, in_channels, image_size, features, layers=tuple(layers), block=block, width=width, attention=attention,
        pyramid=pyramid, options=tower_options or {},
    )  # fmt: skip
    if not (antisymmetric or fusion in ("bradley_terry", "levels")):
        return PairNet(shared, FUSIONS[fusion](features), features, n_classes, dropout)
    if n_classes != 2:
        raise ValueError(f"an antisymmetric network is for 2 classes, and the data have {n_classes}")
    if fusion == "levels":
        return LevelsPairNet(shared, features, levels, dropout)
    return AntisymmetricPairNet(shared, FUSIONS[fusion](features), features, dropout)


class PairNet(nn.Module):
    def __init__(self, tower: nn.Module, fusion: nn.Module, features: int, n_classes: int, dropout: float):
        super().__init__()
        self.tower, self.drop, self.fusion = tower, nn.Dropout(dropout), fusion
        self.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, n_classes))

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        left, right = self.drop(self.tower(pairs.flatten(0, 1))).unflatten(0, (-1, 2)).unbind(dim=1)
        return self.score(left, right)

    def score(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """(N, features) of both images to logits."""
        return self.head(self.fusion(left, right))


class AntisymmetricPairNet(PairNet):
    """The first class has the probability sigmoid(g(a, b) - g(b, a)), which is 1 - that of the exchanged pair.

    With a g that looks at one image only, this is the model of Bradley & Terry, "Rank Analysis of Incomplete Block
    Designs", Biometrika 39, 1952.
    """

    def __init__(self, tower: nn.Module, fusion: nn.Module, features: int, dropout: float):
        super().__init__(tower, fusion, features, 1, dropout)
        self.head[-1] = nn.Linear(features, 1, bias=False)  # a bias would cancel

    def score(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        half = (super().score(left, right) - super().score(right, left)) / 2
        return torch.cat([half, -half], dim=1)
