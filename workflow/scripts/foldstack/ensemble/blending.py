"""Blends: fixed weights on the models' probabilities, chosen by log-loss."""

import numpy as np

from foldstack.jobs.progress import steps
from foldstack.probabilities import blocks, negative_log

GREEDY_ROUNDS = 50


def true_class(members, labels: np.ndarray) -> np.ndarray:
    """(M, N) what each model gives to the label: log-loss reads nothing else, and a blend is linear in it.

    members (M, N, C) are read block by block.
    """
    n_models, n_rows, n_classes = members.shape
    found = np.empty((n_models, n_rows))
    for rows in steps(blocks(n_rows, n_models * n_classes), "reading predictions"):
        block = members[:, rows]
        found[:, rows] = block[:, np.arange(block.shape[1]), labels[rows]]
    return found


def best_single(given: np.ndarray) -> int:
    """Index of the model with the lowest log-loss on rows of `true_class`, (M, N); the first of equals."""
    return int(np.argmin(negative_log(given).mean(axis=-1)))


def greedy_weights(given: np.ndarray, rounds: int = GREEDY_ROUNDS) -> np.ndarray:
    """Weights (M,) that sum to 1, from forward selection with replacement on rows of `true_class`, (M, N).

    Each round adds the model that lowers the log-loss of the running mean most; the round with the lowest log-loss is
    the result. The first round is the lowest single model, so on these rows the blend is never worse than that.

    Caruana, Niculescu-Mizil, Crew and Ksikes: Ensemble Selection from Libraries of Models, ICML 2004.
    """
    total, counts = np.zeros(given.shape[1]), np.zeros(len(given))
    lowest, weights = np.inf, None
    for size in range(1, rounds + 1):
        losses = negative_log((total + given) / size).mean(axis=-1)
        chosen = int(np.argmin(losses))
        total, counts[chosen] = total + given[chosen], counts[chosen] + 1
        if losses[chosen] < lowest:
            lowest, weights = losses[chosen], counts / size
    assert weights is not None, "the log-loss is no number"
    return weights
