"""Blends: fixed weights on the models' probabilities, chosen by log-loss."""

import numpy as np

from foldstack.probabilities import negative_log

GREEDY_ROUNDS = 50


def log_loss(members: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(M,) mean log-loss of each of the models in `members` (M, N, C) on `labels` (N,)."""
    return negative_log(members[:, np.arange(len(labels)), labels]).mean(axis=-1)


def best_single(members: np.ndarray, labels: np.ndarray) -> int:
    """Index of the model with the lowest log-loss on these rows; the first of equals."""
    return int(np.argmin(log_loss(members, labels)))


def greedy_weights(members: np.ndarray, labels: np.ndarray, rounds: int = GREEDY_ROUNDS) -> np.ndarray:
    """Weights (M,) that sum to 1, from forward selection with replacement.

    Each round adds the model that lowers the log-loss of the running mean most; the round with the lowest log-loss is
    the result. The first round is the lowest single model, so on these rows the blend is never worse than that.

    Caruana, Niculescu-Mizil, Crew and Ksikes: Ensemble Selection from Libraries of Models, ICML 2004.
    """
    # Log-loss reads the probability of the true class only, and the blend is linear in it.
    true_class = members[:, np.arange(len(labels)), labels]
    total, counts = np.zeros(len(labels)), np.zeros(len(members))
    lowest, weights = np.inf, None
    for size in range(1, rounds + 1):
        losses = negative_log((total + true_class) / size).mean(axis=-1)
        chosen = int(np.argmin(losses))
        total, counts[chosen] = total + true_class[chosen], counts[chosen] + 1
        if losses[chosen] < lowest:
            lowest, weights = losses[chosen], counts / size
    assert weights is not None, "the log-loss is no number"
    return weights
