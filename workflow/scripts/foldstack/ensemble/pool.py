"""The log-linear pool: p(class) is proportional to the product over models of p_model(class) ** weight.

One weight a model, learned by log-loss: how much to believe each, given the others. Their sum sharpens or flattens the
result, as one temperature would. It is the simplest stack that is learned, and its size does not depend on the classes.

C. Genest and J. V. Zidek, Combining Probability Distributions: A Critique and an Annotated Bibliography, 1986.
"""

from collections.abc import Sequence

import numpy as np

from foldstack.jobs.progress import steps
from foldstack.probabilities import blocks

LEAST = 1e-6  # so that no model that is certain and wrong can rule a class out by itself
STEPS, CLOSE = 30, 1e-7
RIDGE = 1.0  # pulls the weights to those of the geometric mean as much as one sample would


def pooled(members: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, C) logits of the pool, from members (M, N, C)."""
    return np.tensordot(weights, logs(members), axes=1)


def logs(probabilities: np.ndarray) -> np.ndarray:
    """Their logarithms, none below that of LEAST."""
    return np.log(np.maximum(probabilities, LEAST))


def fit_pools(members, labels: np.ndarray, subsets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The weights (M,) of the lowest log-loss on each subset of the rows.

    Newton's method on a convex loss, for all subsets in the same passes over the rows.

    Args:
        members: (M, N, C) probabilities; read block by block.
        labels: (N,) class indices.
        subsets: boolean (N,) each.
    """
    n_models = members.shape[0]
    equal = np.full(n_models, 1 / n_models)
    weights, tried, losses = [equal] * len(subsets), [equal] * len(subsets), [np.inf] * len(subsets)
    steps, open_ = [np.zeros(n_models)] * len(subsets), set(range(len(subsets)))
    for _ in range(STEPS):
        found = _sums(members, labels, [(subsets[i], tried[i]) for i in sorted(open_)])
        for i, (loss, slope, curvature) in zip(sorted(open_), found, strict=True):
            apart = tried[i] - equal
            if loss + RIDGE * apart @ apart / 2 > losses[i]:  # too far: half of the step
                steps[i] = steps[i] / 2
            else:
                losses[i], weights[i] = loss + RIDGE * apart @ apart / 2, tried[i]
                steps[i] = np.linalg.solve(curvature + RIDGE * np.eye(n_models), slope + RIDGE * apart)
            tried[i] = weights[i] - steps[i]
            if np.abs(steps[i]).max() < CLOSE:
                open_.discard(i)
        if not open_:
            break
    return weights


def _sums(members, labels: np.ndarray, fits: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple]:
    """For each (rows, weights): the sum of the log-loss over the rows, its gradient (M,) and its Hessian (M, M)."""
    n_models, n_rows, n_classes = members.shape
    totals: list[list] = [[0.0, np.zeros(n_models), np.zeros((n_models, n_models))] for _ in fits]
    for rows in steps(blocks(n_rows, n_models * n_classes), "weighing the models"):
        block = logs(members[:, rows])
        of_label = block[:, np.arange(block.shape[1]), labels[rows]]
        for (chosen, weights), total in zip(fits, totals, strict=True):
            here = chosen[rows]
            if not here.any():
                continue
            inside = block if here.all() else block[:, here]
            logits = np.tensordot(weights, inside, axes=1)
            highest = logits.max(axis=1, keepdims=True)
            shares = np.exp(logits - highest)
            sums = shares.sum(axis=1, keepdims=True)
            weighted = inside * (shares / sums)
            means = weighted.sum(axis=2)
            total[0] += float((highest + np.log(sums))[:, 0].sum() - (weights @ of_label[:, here]).sum())
            total[1] = total[1] + (means - of_label[:, here]).sum(axis=1)
            flat = inside.reshape(n_models, -1)
            total[2] = total[2] + weighted.reshape(n_models, -1) @ flat.T - means @ means.T
    return [tuple(total) for total in totals]
