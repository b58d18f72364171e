"""Losses: functions of logits (N, C) and targets that return the mean over the samples.

Targets are class indices (N,), or shares of the classes (N, C) float where images were mixed.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from foldstack.errors import FoldstackError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
BETA = 0.999  # of the effective number of samples


def build_loss(config: dict, counts: Sequence[int] | np.ndarray = (), device: torch.device | str = "cpu") -> Loss:
    """The loss that `config` asks for: `loss`, `label_smoothing`, `focal_gamma` and `class_weights`.

    Args:
        counts: training samples of each class; read where classes are weighed.
        device: where the logits are.
    """
    smoothing = config["label_smoothing"]
    if config["loss"] == "contrastive":
        return functools.partial(contrastive, label_smoothing=smoothing)
    if config["loss"] == "sigmoid":
        return sigmoid
    each = {
        "cross_entropy": functools.partial(F.cross_entropy, label_smoothing=smoothing, reduction="none"),
        "focal": functools.partial(_focal_each, gamma=config["focal_gamma"], label_smoothing=smoothing),
        "bce": functools.partial(_binary_each, label_smoothing=smoothing),
    }[config["loss"]]
    if config["class_weights"] == "none":
        if config["loss"] == "cross_entropy":
            return functools.partial(F.cross_entropy, label_smoothing=smoothing)
        return lambda logits, targets: each(logits, targets).mean()
    weights = torch.tensor(class_weights(config["class_weights"], counts), dtype=torch.float32, device=device)

    def weighed(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        chosen = weights[targets] if targets.dim() == 1 else (targets * weights).sum(dim=1)
        return (each(logits, targets) * chosen).mean()

    return weighed


def class_weights(asked: str | list[float], counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """A weight (C,) for each class, scaled so that the weights of the training samples have the mean 1.

    `balanced` is 1 / n of the class; `effective` is (1 - b) / (1 - b ** n) with b = 0.999 (Cui et al., "Class-Balanced
    Loss Based on Effective Number of Samples", arXiv:1901.05555), which stops rising for rare classes.
    """
    n = np.maximum(np.asarray(counts, np.float64), 1)  # a class may be missing in one fold's training part
    if asked == "balanced":
        weights = 1 / n
    elif asked == "effective":
        weights = (1 - BETA) / (1 - BETA**n)
    else:
        weights = np.asarray(asked, np.float64)
        if len(weights) != len(n):
            raise FoldstackError(
                f"class_weights lists {len(weights)} numbers, but the data have {len(n)} classes; give one for each."
            )
    return weights * (np.sum(counts) / np.sum(weights * counts))


def focal(logits: torch.Tensor, targets: torch.Tensor, *, gamma: float, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy that weighs each sample by (1 - p of its class) ** gamma.

    Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002. Smoothing changes the cross-entropy, not the
    weight; their alpha is `class_weights`.
    """
    return _focal_each(logits, targets, gamma=gamma, label_smoothing=label_smoothing).mean()


def _focal_each(logits, targets, *, gamma, label_smoothing):
    entropy = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")
    # 1 - p through the other classes' probabilities: log(1 - p) stays finite in value and gradient where p rounds to 1.
    if targets.dim() == 1:
        others = F.softmax(logits, dim=1).scatter(1, targets[:, None], 0.0).sum(dim=1)
    else:
        others = (F.softmax(logits, dim=1) * (1 - targets)).sum(dim=1)
    return others.clamp(min=1e-7) ** gamma * entropy


def _binary_each(logits, targets, *, label_smoothing):
    """Each class against the rest, mean over the classes, as timm's BinaryCrossEntropy (arXiv:2110.00476)."""
    logits = logits.float()
    shares = F.one_hot(targets, logits.shape[1]).float() if targets.dim() == 1 else targets
    shares = shares * (1 - label_smoothing) + label_smoothing / logits.shape[1]
    return F.binary_cross_entropy_with_logits(logits, shares, reduction="none").mean(dim=1)


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy of logits (N, C) for labels (N,), in double precision."""
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    chosen = values[np.arange(len(labels)), labels]
    return float((np.log(np.exp(values).sum(axis=1)) - chosen).mean())


def contrastive(logits: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """CLIP's symmetric loss (arXiv:2103.00020): each image finds its class's prompts, and they find their images.

    A class has one vector of prompts and may have several images in the batch: all of them are right, in equal shares.
    """
    logits = logits.float()
    by_image = F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    present = targets.unique()
    same = (targets == present[:, None]).to(logits.dtype)  # 1 where the image is of the class
    by_text = F.cross_entropy(logits.T[present], same / same.sum(dim=1, keepdim=True), label_smoothing=label_smoothing)
    return (by_image + by_text) / 2


def sigmoid(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """SigLIP's loss (arXiv:2303.15343): each pair of an image and a class's prompts is a separate yes/no question."""
    logits = logits.float()  # a sum over many classes or captions
    signs = 2 * F.one_hot(targets, logits.shape[1]).to(logits.dtype) - 1
    return -F.logsigmoid(signs * logits).sum(dim=1).mean()
