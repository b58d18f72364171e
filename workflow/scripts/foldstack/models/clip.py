"""An image tower that is trained to point where a frozen text encoder points for the image's class.

Radford et al., "CLIP", arXiv:2103.00020; with a text tower that stays as it is: Zhai et al., "LiT", arXiv:2111.07991.
The text encoder is no part of the network: the prompts of the classes are embedded once, a constant matrix here.
So the exported file needs no tokenizer.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from foldstack.models import small_cnn, small_resnet, timm_model
from foldstack.text.prompts import read_prompts

TASK = "images"
TimmName = str  # the registry lists the names
SMALL = {"small_cnn": small_cnn, "small_resnet": small_resnet}
HOTTEST = math.log(100)  # CLIP's limit of the scale


def build(
    *,
    in_channels: int,
    n_classes: int,
    image_size,
    tower: Literal["small_cnn", "small_resnet"] | TimmName = "small_resnet",
    tower_options: dict | None = None,
    features: int = 128,
    dropout: float = 0.1,
    prompts: str = "",
    text_features: int = 0,
    shift: bool = False,
):
    """Float (N, in_channels, H, W) to logits (N, n_classes): scaled cosines of the image with each class's prompts.

    Args:
        tower: a timm model or a small network of this folder, which takes `tower_options`.
        features: width of the space in which image and text meet.
        dropout: share of the image's features that are dropped in training.
        prompts: `path@digest` of the class prompts. Without them each class has an axis of its own. The workflow gives
            this and the following options by itself.
        text_features: width of the text encoder.
        shift: a learnable shift of all logits, which the sigmoid loss needs (SigLIP, arXiv:2303.15343).
    """
    shape, options = {"in_channels": in_channels, "n_classes": features, "image_size": image_size}, tower_options or {}
    if tower in SMALL:
        image = SMALL[tower].build(**shape, **options)
    else:
        image = timm_model.build(tower, **shape, options=options)
    vectors = torch.eye(n_classes, text_features or n_classes)
    if prompts:
        vectors = torch.from_numpy(read_prompts(prompts, n_classes))
    return PromptClassifier(image, vectors, features, dropout, shift)


class PromptClassifier(nn.Module):
    def __init__(self, image: nn.Module, vectors: torch.Tensor, features: int, dropout: float, shift: bool):
        super().__init__()
        self.image, self.drop = image, nn.Dropout(dropout)
        self.register_buffer("vectors", vectors)
        # Prompts of one template share most of their direction; what tells the classes apart is the rest.
        self.register_buffer("centre", vectors.mean(dim=0))
        self.text = nn.Linear(vectors.shape[1], features, bias=False)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.shift = nn.Parameter(torch.zeros(())) if shift else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = F.normalize(self.drop(self.image(images)), dim=1)
        said = F.normalize(self.text(F.normalize(self.vectors - self.centre, dim=1)), dim=1)
        logits = self.scale.clamp(max=HOTTEST).exp() * seen @ said.T
        return logits if self.shift is None else logits + self.shift
