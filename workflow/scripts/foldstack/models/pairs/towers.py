"""Towers: networks that map images (N, C, H, W) to features (N, F)."""

import functools

import torch
from timm.layers import Format
from timm.models.resnet import BasicBlock, Bottleneck, make_blocks
from torch import nn
from torchvision.ops import FeaturePyramidNetwork

from foldstack.models import timm_model
from foldstack.models.architectures.small_cnn import conv_block
from foldstack.models.pairs.attention import ATTENTION

BLOCKS: dict[str, type[BasicBlock | Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def build_tower(
    name: str, in_channels: int, image_size: tuple[int, int], features: int, *, pyramid: bool, options: dict, **own
) -> nn.Module:
    """The tower `name` of pair_net; `own` holds `layers`, `block`, `width` and `attention` of a tower of this file."""
    if name in STAGES:
        stages, channels = STAGES[name](in_channels, **own)
        return Tower(Stages(*stages), channels, features, pyramid)
    made = functools.partial(timm_model.build, name, in_channels=in_channels, n_classes=features, image_size=image_size)
    if not pyramid:
        return made(options=options)  # its own pooling, and a last layer as wide as the features
    backbone = made(options={**options, "features_only": True})
    channels_first = Permuted(backbone) if getattr(backbone, "output_fmt", None) == Format.NHWC else backbone
    return Tower(channels_first, backbone.feature_info.channels(), features, pyramid=True)


def cnn_stages(in_channels: int, *, layers: tuple[int, ...], block: str, width: int, attention: str):
    """Stages of plain convolutions, in the manner of small_cnn; returns (modules, channels of each)."""
    stages, channels = [], [width * 2**stage for stage in range(len(layers))]
    for stage, count in enumerate(layers):
        inner: list[nn.Module] = [nn.MaxPool2d(2, ceil_mode=True)] if stage else []
        for _ in range(count):
            inner += conv_block(in_channels, channels[stage])
            in_channels = channels[stage]
        if attention != "none":
            inner.append(ATTENTION[attention](in_channels))
        stages.append(nn.Sequential(*inner))
    return stages, channels


def resnet_stages(in_channels: int, *, layers: tuple[int, ...], block: str, width: int, attention: str):
    """Residual stages of timm's blocks after a 3x3 stem without pooling; returns (modules, channels of each)."""
    channels, kind = [width * 2**stage for stage in range(len(layers))], BLOCKS[block]
    named, infos = make_blocks(
        (kind,) * len(layers), tuple(channels), layers, width, output_stride=2**30, act_layer=nn.ReLU,
        norm_layer=nn.BatchNorm2d, attn_layer=None if attention == "none" else ATTENTION[attention],
    )  # fmt: skip
    stages = [stage for _, stage in named]
    stages[0] = nn.Sequential(*conv_block(in_channels, width), *stages[0].children())
    for module in nn.Sequential(*stages).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, kind):
            module.zero_init_last()
    return stages, [info["num_chs"] for info in infos]


STAGES = {"cnn": cnn_stages, "resnet": resnet_stages}


class Stages(nn.Sequential):
    """Gives the maps of all stages."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        maps = [images]
        for stage in self:
            maps.append(stage(maps[-1]))
        return maps[1:]


class Permuted(nn.Module):
    """Wraps a backbone with (N, H, W, C) maps, such as timm's Swin, to give (N, C, H, W) ones."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [values.permute(0, 3, 1, 2) for values in self.backbone(images)]


class Tower(nn.Module):
    """Maps of stages to features: those of the last stage, or of all by a feature pyramid.

    The pyramid: Lin et al., "Feature Pyramid Networks for Object Detection", arXiv:1612.03144.
    """

    def __init__(self, backbone: nn.Module, channels: list[int], features: int, pyramid: bool):
        super().__init__()
        self.backbone = backbone
        self.pyramid = FeaturePyramidNetwork(channels, features) if pyramid else None
        self.project = nn.Linear(features * len(channels) if pyramid else channels[-1], features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.backbone(images)
        if self.pyramid is None:
            maps = maps[-1:]
        else:
            maps = self.pyramid({str(stage): values for stage, values in enumerate(maps)}).values()
        return self.project(torch.cat([values.mean(dim=(2, 3)) for values in maps], dim=1))
