"""Finding a held-out image's caption among those of its fold, and the image by its caption."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from foldstack.bootstrap import Bootstrap, percentiles
from foldstack.text.captions import Captions

DEPTHS = (1, 5, 10)
DIRECTIONS = {"image_to_text": "rank_text", "text_to_image": "rank_image"}
COLUMNS = ["model", "part", "direction", "samples", "gallery"]
COLUMNS += [f"r{depth}{end}" for depth in DEPTHS for end in ("", "_low", "_high")] + ["median_rank"]
BLOCK = 1024


def settle(classifier, read: Callable, subsets: dict, size: int) -> dict[str, dict[str, np.ndarray]]:
    """End the training of a network that may hold a text encoder; {"oof": ranks, "test": ranks} where it had captions.

    Args:
        classifier: with the weights that are kept.
        read: maps rows (N,) to stored pixels; subsets: of state.py, by purpose.
        size: images at a time.
    """
    network = classifier.architecture.eval()
    parts = {key: subsets[key] for key in ("oof", "test") if subsets[key].captions and len(subsets[key].ids)}
    with torch.inference_mode():
        said = {key: _directions(network, subset.captions) for key, subset in parts.items()}
    if hasattr(network, "settle"):
        network.settle()
    found = {}
    with torch.inference_mode():
        for key, subset in parts.items():
            batches = [subset.rows[i : i + size] for i in range(0, len(subset.rows), size)]
            seen = [network.image_directions(classifier.normalised(classifier.to_float(read(b)))) for b in batches]
            found[key] = ranks(torch.cat(seen).float().cpu().numpy(), *said[key])
    return found


def _directions(network, captions: Captions) -> tuple[np.ndarray, np.ndarray]:
    """(M, features) of a subset's captions, each once, and (N,) which of them is each sample's."""
    numbers, own = np.unique(captions.rows, return_inverse=True)
    batches = [captions.take(numbers[i : i + 64]) for i in range(0, len(numbers), 64)]
    return torch.cat([network.text_directions(*batch) for batch in batches]).float().cpu().numpy(), own


def ranks(images: np.ndarray, texts: np.ndarray, own: np.ndarray) -> dict[str, np.ndarray]:
    """`rank_text` and `rank_image` (N,) int32, from 1: of an image's own text among all texts, and of the first image
    with that text among all images. Equal scores count as lost, so that a network that tells nothing apart is last.

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


def table(runs: Sequence[tuple[str, str, pd.DataFrame]], config: dict) -> pd.DataFrame:
    """evaluation/retrieval.csv: one row a model, part and direction, as in docs/reference/files.md.

    A sample's hit is the mean over the runs that ranked it; intervals resample the samples.

    Args:
        runs: (model, part, table with `sample_id`, `caption` and both ranks) of each run.
        config: the block `evaluation`.
    """
    rows = []
    for model, part in dict.fromkeys((model, part) for model, part, _ in runs):
        tables = [each for *of, each in runs if of == [model, part] and len(each)]
        if not tables:
            continue
        whole = pd.concat(tables, ignore_index=True)
        texts, images = np.mean([[each["caption"].nunique(), len(each)] for each in tables], axis=0)
        for direction, column in DIRECTIONS.items():
            hits = pd.DataFrame({depth: whole[column] <= depth for depth in DEPTHS}).groupby(whole["sample_id"]).mean()
            drawn = Bootstrap(np.zeros(len(hits)), config["bootstrap"], config["seed"]).means(hits.to_numpy(float).T)
            row = {"model": model, "part": part, "direction": direction, "samples": len(hits)}
            row["gallery"] = texts if column == "rank_text" else images
            for depth, resampled in zip(DEPTHS, drawn, strict=True):
                low, high = percentiles(resampled)
                row |= {f"r{depth}": hits[depth].mean(), f"r{depth}_low": low, f"r{depth}_high": high}
            rows.append(row | {"median_rank": whole[column].median()})
    return pd.DataFrame(rows, columns=COLUMNS)
