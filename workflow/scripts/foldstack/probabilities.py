"""Softmax, log-loss and temperature of class probabilities, in double precision."""

import numpy as np

TINY = np.finfo(np.float64).eps
LEAST = float(np.finfo(np.float32).tiny)
BLOCK_CELLS = 8_000_000  # 64 MB of float64
LOWEST, HIGHEST = 0.05, 20.0  # temperatures


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 of the same shape; over the last axis, which is the classes, with the sum 1."""
    values = np.asarray(logits, np.float64)
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """float32 logits whose softmax are these probabilities, none of which is taken for less than LEAST."""
    return np.log(np.maximum(probabilities, LEAST)).astype(np.float32)


def blocks(n_rows: int, row_cells: int) -> list[slice]:
    """Consecutive rows, BLOCK_CELLS numbers at a time: large tables are worked through block by block."""
    size = max(1, BLOCK_CELLS // max(1, row_cells))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def normalised(probabilities: np.ndarray) -> np.ndarray:
    """float64 that sum to 1 over the last axis, which is the classes, more exactly than the float32 values in files."""
    values = np.asarray(probabilities, np.float64)
    return values / values.sum(axis=-1, keepdims=True)


def temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The T that gives softmax(log(p) / T) the lowest log-loss: above 1 where the probabilities are overconfident."""

    from scipy.optimize import minimize_scalar  # takes a while, and few jobs need it

    def loss(log_t: float) -> float:
        return log_loss(labels, with_temperature(probabilities, np.exp(log_t)))

    return float(np.exp(minimize_scalar(loss, bounds=np.log([LOWEST, HIGHEST]), method="bounded").x))


def with_temperature(probabilities: np.ndarray, value: float) -> np.ndarray:
    """(N, C): softmax(log(p) / value)."""
    return softmax(np.log(np.clip(probabilities, TINY, 1)) / value)


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of `negative_log`; probabilities is (N, C), labels (N,) class indices."""
    return negative_log(probabilities[np.arange(len(labels)), labels]).mean()


def negative_log(true_class: np.ndarray) -> np.ndarray:
    """The negative logarithm of the true class's probability, floored as scikit-learn does."""
    return -np.log(np.clip(true_class, TINY, 1))
