"""The permutation check: with shuffled labels nothing can be learned, so whatever scores above chance is a leak.

(P. Good, Permutation Tests, 1994; M. Ojala, G. Garriga, Permutation Tests for Studying Classifier Performance, 2010.)
"""

import math

import numpy as np

from foldstack.errors import FoldstackError

SIGNIFICANCE = 3.29  # standard errors; a sound pipeline exceeds this by luck once in 2,000 scores


def shuffle_labels(labels: np.ndarray, tied: np.ndarray, seed: int) -> np.ndarray:
    """Labels that no longer have anything to do with the samples.

    Each set of samples that belong together takes the labels of another, in random order, repeated or cut to its own
    size. So two copies of an image still agree in their label, and a pipeline that puts them into two folds would score
    above chance; single samples are simply permuted.

    Args:
        labels: (N,) class indices.
        tied: (N,) number of each sample's set, from 0 (`data.ties.components`).
    """
    rng = np.random.default_rng(seed)
    members = np.split(np.argsort(tied, kind="stable"), np.cumsum(np.bincount(tied))[:-1])
    shuffled = np.empty_like(labels)
    for rows, donor in zip(members, rng.permutation(len(members)), strict=True):
        shuffled[rows] = np.resize(rng.permutation(labels[members[donor]]), len(rows))
    return shuffled


def against_chance(labels: np.ndarray, predicted: np.ndarray, folds: np.ndarray, tied: np.ndarray) -> dict:
    """Accuracy, and what the same predictions would score if they knew nothing of the labels of their fold.

    Chance is what the predictions of a fold would score on average with its labels in any order: it counts that a
    network may prefer the common classes. In the standard error each set of samples that belong together is one draw.

    Args:
        labels, predicted, folds: (N,) class indices and folds.
        tied: (N,) number of each sample's set, from 0.

    Returns:
        `accuracy`, `chance`, `low` and `high` (where a sound pipeline scores), `excess` (in standard errors).
    """
    chance, effect = np.empty(len(labels)), np.empty(len(labels))
    for fold in np.unique(folds):
        rows = folds == fold
        size = max(labels[rows].max(), predicted[rows].max()) + 1
        true, guessed = (np.bincount(values[rows], minlength=size) / rows.sum() for values in (labels, predicted))
        chance[rows] = true @ guessed
        # Centred by row and column, as the variance of a permutation statistic is (W. Hoeffding, 1951).
        effect[rows] = (labels == predicted)[rows] - true[predicted[rows]] - guessed[labels[rows]] + true @ guessed
    sums = np.bincount(tied, weights=effect - effect.mean())
    error = math.sqrt(np.square(sums).sum()) / len(labels) + 1e-12
    by_chance, accuracy = float(chance.mean()), float((labels == predicted).mean())
    return {
        "accuracy": accuracy,
        "chance": by_chance,
        "low": by_chance - SIGNIFICANCE * error,
        "high": by_chance + SIGNIFICANCE * error,
        "excess": (accuracy - by_chance) / error,
    }


def judge(scores: dict[str, dict]) -> None:
    """Raise FoldstackError where any contender's score lies above its interval.

    Scores below it are recorded and allowed, since a leak only raises scores.
    """
    above = {name: score for name, score in scores.items() if score["accuracy"] > score["high"]}
    if not above:
        return
    name, worst = max(above.items(), key=lambda item: item[1]["excess"])
    raise FoldstackError(
        f"There is a leak: with shuffled labels {name} scores {100 * worst['accuracy']:.1f} % out of fold, "
        f"while chance is {100 * worst['chance']:.1f} % and at most {100 * worst['high']:.1f} %; {len(above)} of "
        f"{len(scores)} contenders score above chance. Some stage saw the labels that it is scored on: check what was "
        "changed in the workflow, and docs/explanation/leaks.md."
    )
