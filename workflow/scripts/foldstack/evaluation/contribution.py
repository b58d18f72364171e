"""What each model contributes to the ensemble, and which models could be left out to save size or time.

All of it is measured on the out-of-fold rows, with blends that are quick to refit: the plain mean and the greedy one.
"""

import itertools

import numpy as np

from foldstack.ensemble.blending import greedy_weights, log_loss, true_class
from foldstack.ensemble.members import Members
from foldstack.evaluation import bootstrap, metrics

ALL_SUBSETS = 8  # with up to this many models every subset is tried
BUDGETS = ("parameters", "flops")
MEASURES = ("accuracy", "log_loss")


def drop_one(members: Members, stack_oof: dict, spec: dict, config: dict) -> dict:
    """{model: `weight` (greedy), `importance` (share of LightGBM's gain), `mean_without`, `greedy_without`}.

    The last two are {accuracy, log_loss: `difference`, `low`, `high`}: the blend without the model less the blend with
    it, paired; the greedy blend is cross-fitted again. They are None where there is only one model.

    Args:
        stack_oof: {method: (N, C)}.
        spec: stack.json.
        config: the block `evaluation`.
    """
    values, models = members.seed_averaged_oof()[:], members.models
    tables: dict[tuple[str, str | None], np.ndarray] = {
        ("mean", None): stack_oof["mean"],
        ("greedy", None): stack_oof["greedy"],
    }
    for i, model in enumerate(models if len(models) > 1 else []):
        rest = np.delete(values, i, axis=0)
        tables["mean", model] = rest.mean(axis=0)
        tables["greedy", model] = _cross_fitted_greedy(rest, members.labels, members.folds)
    drawn = bootstrap.Bootstrap(members.labels, config["bootstrap"], config["seed"]).scores(tables, ranked=False)
    scores = {key: metrics.scores(members.labels, table, MEASURES) for key, table in tables.items()}
    found = {}
    for model in models:
        found[model] = {"weight": spec["weights"][model], "importance": spec["importance"][model]}
        for blend in ("mean", "greedy"):
            own, whole = (blend, model), (blend, None)
            found[model][f"{blend}_without"] = {
                metric: bootstrap.difference(scores[own], scores[whole], drawn[own], drawn[whole], metric)
                for metric in MEASURES
            } if own in tables else None  # fmt: skip
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
    values, labels = members.seed_averaged_oof()[:], members.labels
    n_splits = int(members.folds.max()) + 1
    whole = values.mean(axis=0)
    rows = []
    for chosen in _chosen(values, labels):
        table = values[list(chosen)].mean(axis=0)
        names = [members.models[i] for i in chosen]
        costs = {
            key: _total([(sizes[name][key], len(members.seeds[name]) * n_splits) for name in names]) for key in BUDGETS
        }
        rows.append(
            {"models": names}
            | costs
            | {
                "accuracy": float(np.mean(table.argmax(axis=1) == labels)),
                "log_loss": float(log_loss(table[None], labels)[0]),
                "difference": bootstrap.accuracy_difference(labels, table, whole, config["bootstrap"], config["seed"]),
            }
        )
    for row in rows:
        row["fronts"] = [key for key in BUDGETS if row[key] is not None and not _dominated(row, rows, key)]
    return sorted(rows, key=lambda row: (row["parameters"] is None, row["parameters"], row["models"]))


def smallest(rows: list[dict], budget: str) -> dict | None:
    """The cheapest of `subsets` within noise of all models: its interval of the difference reaches 0."""
    fit = [row for row in rows if row[budget] is not None and row["difference"]["high"] >= 0]
    return min(fit, key=lambda row: (row[budget], -row["accuracy"]), default=None)


def _chosen(values: np.ndarray, labels: np.ndarray) -> list[tuple[int, ...]]:
    everyone = tuple(range(len(values)))
    if len(values) <= ALL_SUBSETS:
        return [each for size in everyone for each in itertools.combinations(everyone, size + 1)]
    path = [everyone]
    while len(path[-1]) > 2:
        shorter = [tuple(i for i in path[-1] if i != left) for left in path[-1]]
        losses = log_loss(np.stack([values[list(each)].mean(axis=0) for each in shorter]), labels)
        path.append(shorter[int(np.argmin(losses))])
    return [(i,) for i in everyone] + path


def _dominated(row: dict, rows: list[dict], key: str) -> bool:
    def beats(other: dict) -> bool:
        better = other[key] < row[key] or other["accuracy"] > row["accuracy"]
        return other[key] <= row[key] and other["accuracy"] >= row["accuracy"] and better

    return any(beats(other) for other in rows if other[key] is not None)


def _total(parts: list[tuple[int | None, int]]) -> int | None:
    known = [size * count for size, count in parts if size is not None]
    return sum(known) if len(known) == len(parts) else None


def _cross_fitted_greedy(values: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(N, C): the greedy blend of `values` (M, N, C), each fold by the weights of the others."""
    blend, given = np.empty(values.shape[1:]), true_class(values, labels)
    for fold in np.unique(folds):
        rest, held_out = folds != fold, folds == fold
        blend[held_out] = np.tensordot(greedy_weights(given[:, rest]), values[:, held_out], axes=1)
    return blend
