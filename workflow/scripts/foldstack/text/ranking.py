"""The rank of a held-out image's caption among those of its fold, and of the image for its caption."""

from collections.abc import Callable

import numpy as np
import torch

from foldstack.text.captions import Captions

BLOCK = 1024


@torch.inference_mode()
def rank(classifier, read: Callable, subsets: dict, size: int) -> dict[str, dict[str, np.ndarray]]:
    """{"oof": ranks, "test": ranks} of a network that learned from captions, else {}.

    Args:
        classifier: with the weights that are kept.
        read: maps rows (N,) to stored pixels; subsets: of state.py, by purpose.
        size: images at a time.
    """
    network = classifier.architecture.eval()
    parts = {key: subsets[key] for key in ("oof", "test") if subsets[key].captions and len(subsets[key].ids)}
    found = {}
    for key, subset in parts.items():
        batches = [subset.rows[i : i + size] for i in range(0, len(subset.rows), size)]
        seen = [network.image_directions(classifier.normalised(classifier.to_float(read(b)))) for b in batches]
        found[key] = ranks(torch.cat(seen).float().cpu().numpy(), *_directions(network, subset.captions))
    return found


def _directions(network, captions: Captions) -> tuple[np.ndarray, np.ndarray]:
    """(M, features) of a subset's captions, each once, and (N,) which of them is each sample's."""
    numbers, own = np.unique(captions.rows, return_inverse=True)
    batches = [captions.take(numbers[i : i + 64]) for i in range(0, len(numbers), 64)]
    return torch.cat([network.text_directions(*batch) for batch in batches]).float().cpu().numpy(), own


def ranks(images: np.ndarray, texts: np.ndarray, own: np.ndarray) -> dict[str, np.ndarray]:
    """`rank_text` and `rank_image` (N,) int32, from 1: of an image's own text among all texts, and of the first image
    with that text among all images. Equal scores count as lost, so that a network that gives equal scores to
    all gets the last rank.

    Args:
        images (N, F), texts (M, F): directions of length 1.
        own: (N,) which text is the image's.
    """
    mine = np.einsum("nf,nf->n", images, texts[own])
    by_image, by_text = np.ones(len(images), np.int32), np.ones(len(texts), np.int32)
    for start in range(0, len(texts), BLOCK):
        scores = images @ texts[start : start + BLOCK].T
        others = own[:, None] != np.arange(start, start + scores.shape[1])
        by_image += ((scores >= mine[:, None]) & others).sum(axis=1, dtype=np.int32)
        first = np.where(others, -np.inf, scores).max(axis=0)
        by_text[start : start + BLOCK] += ((scores >= first) & others).sum(axis=0, dtype=np.int32)
    return {"rank_text": by_image, "rank_image": by_text[own]}
