"""Losses of images against class prompts: logits (N, C) and class indices (N,) to the mean over the batch."""

import torch
import torch.nn.functional as F


def contrastive(logits: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """CLIP's symmetric loss (arXiv:2103.00020): each image finds its class's prompts, and they find their images.

    A class has one vector of prompts and may have several images in the batch: all of them are right, in equal shares.
    """
    logits = logits.float()
    by_image = F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    present = targets.unique()
    mine = (targets == present[:, None]).to(logits.dtype)
    by_text = F.cross_entropy(logits.T[present], mine / mine.sum(dim=1, keepdim=True), label_smoothing=label_smoothing)
    return (by_image + by_text) / 2


def sigmoid(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """SigLIP's loss (arXiv:2303.15343): each image with each class's prompts is a question of its own."""
    logits = logits.float()  # a sum over many classes or captions
    signs = 2 * F.one_hot(targets, logits.shape[1]).to(logits.dtype) - 1
    return -F.logsigmoid(signs * logits).sum(dim=1).mean()
