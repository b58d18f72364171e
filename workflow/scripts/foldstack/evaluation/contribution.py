"""What each model contributes to the ensemble, and which models could be left out to save size or time.

All of it is measured on the out-of-fold rows, with blends that are quick to refit: the plain mean and the greedy one.
Both are linear in the models' probabilities, and log-loss reads those of the true class only; the rest is read block by
block, to see which class each blend predicts.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from foldstack.ensemble.blending import greedy_weights, true_class
from foldstack.ensemble.members import Members, SeedAveraged
from foldstack.evaluation import bootstrap
from foldstack.evaluation.outcome import Outcome
from foldstack.jobs.progress import steps
from foldstack.probabilities import blocks, negative_log

ALL_SUBSETS = 8  # with up to this many models every subset is tried
BUDGETS = ("parameters", "flops")
MEASURES = ("accuracy", "log_loss")


def drop_one(members: Members, blends: dict[str, Outcome], spec: dict, config: dict) -> dict:
    """{model: `weight` (greedy), `importance` (share of LightGBM's gain), `mean_without`, `greedy_without`}.

    The last two are {accuracy, log_loss: `difference`, `low`, `high`}: the blend without the model less the blend with
    it, paired; the greedy blend is cross-fitted again. They are None where there is only one model.

    Args:
        blends: the outcomes of `mean` and `greedy`, cross-fitted, of all models.
        spec: stack.json.
        config: the block `evaluation`.
    """
    models = members.models
    outcomes: dict[tuple[str, str | None], Outcome] = {(name, None): found for name, found in blends.items()}
    if len(models) > 1:
        weights = _weights_without(members)
        outcomes |= dict(zip(weights, _blended(members, list(weights.values())), strict=True))
    scored = bootstrap.Bootstrap(members.labels, config["bootstrap"], config["seed"]).scored(outcomes)
    found: dict = {}
    for model in models:
        found[model] = {"weight": spec["weights"][model], "importance": spec["importance"][model]}
        for blend in ("mean", "greedy"):
            own, whole = scored.get((blend, model)), scored[blend, None]
            found[model][f"{blend}_without"] = own and {
                metric: bootstrap.difference(own, whole, metric) for metric in MEASURES
            }
    return found


def subsets(members: Members, sizes: dict, config: dict) -> list[dict]:
    """Plain means of subsets of the models against what they cost, cheapest in parameters first.

    Every subset up to ALL_SUBSETS models; with more, the single models and a path that starts from all models and drops
    the one whose removal hurts the log-loss least.

    Args:
        sizes: {model: {"parameters", "flops" of one network; None where unknown}}.

    Returns:
        `models`, `parameters`, `flops` (of all their networks: folds and seeds), `accuracy`, `log_loss`, `difference`
        (accuracy less that of all models, paired: `difference`, `low`, `high`) and `fronts`: the BUDGETS for which no
        subset that costs no more is as accurate.
    """
    labels, n_splits = members.labels, int(members.folds.max()) + 1
    true = true_class(members.seed_averaged_oof(), labels)
    chosen = _chosen(true)
    predicted = _predicted_by_means(members, chosen)
    rows = []
    for each, own in zip(chosen, predicted, strict=True):
        names = [members.models[i] for i in each]
        costs = {
            key: _total([(sizes[name][key], len(members.seeds[name]) * n_splits) for name in names]) for key in BUDGETS
        }
        change = bootstrap.accuracy_difference(labels, own, predicted[-1], config["bootstrap"], config["seed"])
        rows.append(
            {"models": names}
            | costs
            | {
                "accuracy": float(np.mean(own == labels)),
                "log_loss": float(negative_log(true[list(each)].mean(axis=0)).mean()),
                "difference": change,
            }
        )
    for row in rows:
        row["fronts"] = [key for key in BUDGETS if row[key] is not None and not _dominated(row, rows, key)]
    return sorted(rows, key=lambda row: (row["parameters"] is None, row["parameters"], row["models"]))


def smallest(rows: list[dict], budget: str) -> dict | None:
    """The cheapest of `subsets` within noise of all models: its interval of the difference reaches 0."""
    fit = [row for row in rows if row[budget] is not None and row["difference"]["high"] >= 0]
    return min(fit, key=lambda row: (row[budget], -row["accuracy"]), default=None)


def _chosen(true: np.ndarray) -> list[tuple[int, ...]]:
    """Sets of positions of models, that of all models last, from the true class's probabilities (M, N)."""
    everyone = tuple(range(len(true)))
    if len(true) <= ALL_SUBSETS:
        return [each for size in everyone for each in itertools.combinations(everyone, size + 1)]
    path = [everyone]
    while len(path[0]) > 2:
        shorter = [tuple(i for i in path[0] if i != left) for left in path[0]]
        losses = negative_log(np.stack([true[list(each)].mean(axis=0) for each in shorter])).mean(axis=1)
        path.insert(0, shorter[int(np.argmin(losses))])
    return [(i,) for i in everyone] + path


def _dominated(row: dict, rows: list[dict], key: str) -> bool:
    def beats(other: dict) -> bool:
        better = other[key] < row[key] or other["accuracy"] > row["accuracy"]
        return other[key] <= row[key] and other["accuracy"] >= row["accuracy"] and better

    return any(beats(other) for other in rows if other[key] is not None)


def _total(parts: list[tuple[int | None, int]]) -> int | None:
    known = [size * count for size, count in parts if size is not None]
    return sum(known) if len(known) == len(parts) else None


def _blocks(averaged: SeedAveraged) -> list[slice]:
    return list(blocks(averaged.shape[1], averaged.shape[0] * averaged.shape[2]))


def _predicted_by_means(members: Members, chosen: Sequence[tuple[int, ...]]) -> np.ndarray:
    """(len(chosen), N): the class that the plain mean of each set of models predicts."""
    averaged = members.seed_averaged_oof()
    found = np.empty((len(chosen), len(members.labels)), np.int32)
    order = sorted(range(len(chosen)), key=lambda k: chosen[k])
    for rows in steps(_blocks(averaged), "trying subsets of models"):
        values = averaged[:, rows]
        sums: dict[tuple[int, ...], np.ndarray] = {(): np.zeros(values.shape[1:])}
        for k in order:  # sets that begin alike follow each other, and share the sum of their beginning
            beginnings = [chosen[k][:size] for size in range(len(chosen[k]) + 1)]
            sums = {each: sums[each] for each in beginnings if each in sums}
            for each in beginnings[len(sums) :]:
                sums[each] = sums[each[:-1]] + values[each[-1]]
            found[k, rows] = sums[chosen[k]].argmax(axis=1)
    return found


def _weights_without(members: Members) -> dict[tuple[str, str], np.ndarray]:
    """{(`mean` or `greedy`, model left out): (n_splits, M) weights by fold}, the greedy ones fitted on other folds."""
    true, found = true_class(members.seed_averaged_oof(), members.labels), {}
    for i, model in enumerate(members.models):
        rest = np.delete(np.arange(len(true)), i)
        mean, greedy = np.zeros((2, int(members.folds.max()) + 1, len(true)))
        mean[:, rest] = 1 / len(rest)
        for fold in np.unique(members.folds):
            greedy[fold, rest] = greedy_weights(true[rest][:, members.folds != fold])
        found["mean", model], found["greedy", model] = mean, greedy
    return found


def _blended(members: Members, weights: Sequence[np.ndarray]) -> list[Outcome]:
    """The outcomes by accuracy and log-loss of blends with weights by fold, (n_splits, M) each."""
    averaged, labels, folds = members.seed_averaged_oof(), members.labels, members.folds
    predicted = np.empty((len(weights), len(labels)), np.int64)
    confidence, losses = np.empty((2, *predicted.shape))
    for rows in steps(_blocks(averaged), "leaving models out"):
        values = averaged[:, rows]
        for k, by_fold in enumerate(weights):
            own = by_fold[folds[rows]].T[:, :, None]
            blend = sum(own[i] * values[i] for i in np.flatnonzero(by_fold.any(axis=0)))
            predicted[k, rows], confidence[k, rows] = blend.argmax(axis=1), blend.max(axis=1)
            losses[k, rows] = negative_log(blend[np.arange(len(blend)), labels[rows]])
    return [
        Outcome(labels, predicted[k], confidence[k], averaged.shape[2], list(MEASURES), {"log_loss": losses[k]}, {}, {})
        for k in range(len(weights))
    ]
