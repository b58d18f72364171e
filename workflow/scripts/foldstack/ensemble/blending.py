"""Blends: fixed weights on the models' probabilities, chosen by log-loss."""

import numpy as np

GREEDY_ROUNDS = 50
TINY = np.finfo(np.float64).eps


def log_loss(members: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(M,) mean log-loss of each of the models in `members` (M, N, C) on `labels` (N,)."""
    return _loss(members[:, np.arange(len(labels)), labels])


def best_single(members: np.ndarray, labels: np.ndarray) -> int:
    """Index of the model with the lowest log-loss on these rows; the first of equals."""
    return int(np.argmin(log_loss(members, labels)))


def greedy_weights(members: np.ndarray, labels: np.ndarray, rounds: int = GREEDY_ROUNDS) -> np.ndarray:
    """Weights (M,) that sum to 1, from forward selection with replacement.

    Each round adds the model that lowers the log-loss of the running mean most; the round with the lowest log-loss
    counts. The first round is the lowest single model, so on these rows the blend is never worse than that.

    Caruana, Niculescu-Mizil, Crew and Ksikes: Ensemble Selection from Libraries of Models, ICML 2004.
    """
    # Log-loss reads the probability of the true class only, and the blend is linear in it.
    true_class = members[:, np.arange(len(labels)), labels]
    total, counts = np.zeros(len(labels)), np.zeros(len(members))
    lowest, weights = np.inf, None
    for size in range(1, rounds + 1):
        losses = _loss((total + true_class) / size)
        chosen = int(np.argmin(losses))
        total, counts[chosen] = total + true_class[chosen], counts[chosen] + 1
        if losses[chosen] < lowest:
            lowest, weights = losses[chosen], counts / size
    return weights


def _loss(true_class: np.ndarray) -> np.ndarray:
    """Mean log-loss over the last axis of the probabilities of the true class, floored as scikit-learn does."""
    return -np.log(np.clip(true_class, TINY, 1)).mean(axis=-1)
