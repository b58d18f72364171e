"""Losses: functions of logits (N, C) and class indices (N,) that return the mean over the samples."""

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from foldstack import contrastive


def build_loss(config: dict) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The loss that `config` asks for by its keys `loss`, `label_smoothing` and `focal_gamma`."""
    if config["loss"] == "contrastive":
        return functools.partial(contrastive.contrastive, label_smoothing=config["label_smoothing"])
    if config["loss"] == "sigmoid":
        return contrastive.sigmoid
    if config["loss"] == "focal":
        return functools.partial(focal, gamma=config["focal_gamma"], label_smoothing=config["label_smoothing"])
    return functools.partial(F.cross_entropy, label_smoothing=config["label_smoothing"])


def focal(logits: torch.Tensor, targets: torch.Tensor, *, gamma: float, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy that weighs each sample by (1 - p of its class) ** gamma.

    Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002. Smoothing changes the cross-entropy, not the
    weight.
    """
    entropy = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")
    # 1 - p through the other classes' probabilities: log(1 - p) stays finite in value and gradient where p rounds to 1.
    others = F.softmax(logits, dim=1).scatter(1, targets[:, None], 0.0).sum(dim=1)
    return (others.clamp(min=1e-7) ** gamma * entropy).mean()


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy of logits (N, C) for labels (N,), in double precision."""
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    chosen = values[np.arange(len(labels)), labels]
    return float((np.log(np.exp(values).sum(axis=1)) - chosen).mean())
