"""An image tower trained to give an image the direction that a text encoder gives its class, or its caption.

Radford et al., "CLIP", arXiv:2103.00020; with a frozen text encoder: Zhai et al., "LiT", arXiv:2111.07991.
A frozen encoder is not part of the network: the prompts of the classes are embedded once, a constant matrix here. One
that is trained too is part of it until training ends, and then its vectors become that matrix (`finish`). So the stored
network and the exported file need no tokenizer.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from foldstack.models import timm_model
from foldstack.models.architectures import small_cnn, small_resnet
from foldstack.text import ranking
from foldstack.text.captions import Captions, read_captions
from foldstack.text.prompts import read_prompts
from foldstack.text.reference import checked

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
    encoder: str = "",
    train: int | str = "frozen",
    text_lr: float = 1.0,
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
        encoder: `path@digest` of the record of the text encoder that is trained too; "" where it stays as it is.
        train: what of it is trained, `all` or its last so many layers.
        text_lr: its learning rate as a share of the network's.
    """
    shape, options = {"in_channels": in_channels, "n_classes": features, "image_size": image_size}, tower_options or {}
    if tower in SMALL:
        image = SMALL[tower].build(**shape, **options)
    else:
        image = timm_model.build(tower, **shape, options=options)
    tensors = {"vectors": torch.eye(n_classes, text_features or n_classes)}
    if prompts:
        tensors = {name: torch.from_numpy(value) for name, value in read_prompts(prompts, n_classes).items()}
    trained_prompts = None
    if encoder:
        # Takes seconds to import, and only those need it who train a text encoder.
        from foldstack.text.encoder import read_encoder, train_last

        reader = read_encoder(checked(encoder).removesuffix(".json"))
        trained_prompts = TrainedPrompts(reader, tensors)
        train_last(reader, train)
    return PromptClassifier(image, tensors["vectors"], features, dropout, shift, trained_prompts, text_lr)


class TrainedPrompts(nn.Module):
    """The class prompts' tokens with the encoder that turns them into vectors (C, D) again in each step."""

    ids: torch.Tensor
    mask: torch.Tensor
    mine: torch.Tensor

    def __init__(self, encoder: nn.Module, tensors: dict[str, torch.Tensor]):
        super().__init__()
        self.encoder = encoder
        for name in ("ids", "mask"):
            self.register_buffer(name, tensors[name], persistent=False)
        prompts_of_class = F.one_hot(tensors["owner"]).T.float()  # (C, P): 1 where the prompt is the class's
        self.register_buffer("prompts_of_class", prompts_of_class, persistent=False)

    def forward(self) -> torch.Tensor:
        return F.normalize(self.prompts_of_class @ self.encoder(self.ids, self.mask), dim=1)


class PromptClassifier(nn.Module):
    """`forward` takes images and, in training on captions, those of the batch in place of the class prompts: vectors
    (M, D) of a frozen encoder, or ids and mask (M, L) for one that is trained; it gives (N, M) then."""

    vectors: torch.Tensor
    centre: torch.Tensor

    def __init__(
        self,
        image: nn.Module,
        vectors: torch.Tensor,
        features: int,
        dropout: float,
        shift: bool,
        trained_prompts: TrainedPrompts | None = None,
        text_lr: float = 1.0,
    ):
        super().__init__()
        self.image, self.drop = image, nn.Dropout(dropout)
        self.trained_prompts, self.text_lr = trained_prompts, text_lr
        # Not to be loaded from another run's weights, which have no text encoder.
        own = trained_prompts.state_dict() if trained_prompts else ()
        self.of_these_classes = ("vectors", "centre", *(f"trained_prompts.{name}" for name in own))
        self.register_buffer("vectors", vectors)
        # Prompts of one template share most of their direction; the classes differ only in the rest.
        self.register_buffer("centre", vectors.mean(dim=0))
        self.text = nn.Linear(vectors.shape[1], features, bias=False)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.shift = nn.Parameter(torch.zeros(())) if shift else None

    def forward(self, images: torch.Tensor, *captions: torch.Tensor) -> torch.Tensor:
        if self.training:
            with (
                torch.no_grad()
            ):  # the parameter itself: a limit on its exponential would give it no gradient to return
                self.scale.clamp_(max=HOTTEST)
        logits = self.scale.exp() * self.image_directions(images) @ self.text_directions(*captions).T
        return logits if self.shift is None else logits + self.shift

    def image_directions(self, images: torch.Tensor) -> torch.Tensor:
        """(N, features), each of length 1."""
        return F.normalize(self.drop(self.image(images)), dim=1)

    def text_directions(self, *captions: torch.Tensor) -> torch.Tensor:
        """(M, features), each of length 1: of captions, or of the classes."""
        if captions:
            vectors = captions[0] if self.trained_prompts is None else self.trained_prompts.encoder(*captions)
        else:
            vectors = self.vectors if self.trained_prompts is None else self.trained_prompts()
        return F.normalize(self.text(F.normalize(vectors - self.centre, dim=1)), dim=1)

    def lr_scales(self) -> dict[int, float]:
        """{id of a parameter: its share of the learning rate}, for those that take another than the rest."""
        return (
            {}
            if self.trained_prompts is None
            else {id(value): self.text_lr for value in self.trained_prompts.parameters()}
        )

    def captions(self, reference: str, device) -> Callable[[Sequence[str]], Captions]:
        """A function from sample ids to what `forward` takes of their captions; see `read_captions`."""
        return read_captions(reference, self.trained_prompts is not None, device)

    def finish(self, classifier, read: Callable, subsets: dict, size: int) -> dict:
        """At the end of training: store the vectors of the classes, drop the encoder; returns `ranking.rank`."""
        found = ranking.rank(classifier, read, subsets, size)
        if self.trained_prompts is not None:
            with torch.no_grad():
                self.vectors.copy_(self.trained_prompts())
            self.trained_prompts = None
        return found
