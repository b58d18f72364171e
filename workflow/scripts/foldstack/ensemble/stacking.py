"""Stacking: learn from out-of-fold predictions how to combine the base models (Wolpert, Stacked Generalization, 1992).

One definition serves estimation and deployment. `members` is always (M, N, C): the seed-averaged probabilities of M
models, from the networks of *one* fold. The stacker never sees an average over folds as its input, because it was
fitted on the sharpness of single networks; averaging over folds comes after it. `members` may be larger than memory:
it is read by `members[:, rows]`, block by block (`members.SeedAveraged`).

Applying a stack needs numpy and a `lightgbm.Booster` only; scikit-learn and lightgbm are imported only to fit one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from foldstack.ensemble import logistic, per_class, pool, shared
from foldstack.ensemble.blending import best_single, greedy_weights, true_class
from foldstack.ensemble.per_class import meta_features
from foldstack.errors import FoldstackError
from foldstack.jobs.progress import steps
from foldstack.probabilities import blocks, log_probabilities, softmax

BLENDS = ("best_single", "mean", "greedy")
STACKS = ("pool", "logistic", "lightgbm")
METHODS = BLENDS + STACKS  # from the simplest to the least simple
OPTIONAL = ("logistic",)  # not fitted where the classes are many, unless it is the one to deploy
# LightGBM has trees of its own for each class up to this many classes, and up to this many rows × models × classes².
# Beyond, one booster is shared by all classes (measured: docs/benchmarks/scale.md).
PER_CLASS, PER_CLASS_CELLS = 50, 200_000_000


def form_of(n_models: int, n_rows: int, n_classes: int) -> str:
    """`per_class` or `shared`: the form that LightGBM takes."""
    few = n_classes <= PER_CLASS and n_rows * n_models * n_classes**2 <= PER_CLASS_CELLS
    return "per_class" if few else "shared"


def methods_of(form: str, deployed: str) -> list[str]:
    """Those of METHODS that are fitted."""
    return [name for name in METHODS if name not in OPTIONAL or form == "per_class" or name == deployed]


def meta_feature_names(models: Sequence[str], classes: Sequence[str]) -> list[str]:
    """`<model>__<class>`, in the order of the columns of `meta_features`."""
    return [f"{model}__{name}" for model in models for name in classes]


def predict_stack(method: str, spec: dict, members: np.ndarray, booster=None) -> np.ndarray:
    """Combine the predictions of one fold's networks.

    Args:
        method: one of `spec["methods"]`.
        spec: stack.json.
        members: (M, N, C) seed-averaged probabilities, models in the order of `spec["models"]`.
        booster: the `lightgbm.Booster` of stacker.txt; for `lightgbm` only.

    Returns:
        (N, C) float64 probabilities.
    """
    members, models = np.asarray(members, np.float64), spec["models"]
    if method == "best_single":
        return members[models.index(spec["best_single"])]
    if method == "mean":
        return members.mean(axis=0)
    if method == "greedy":
        return np.tensordot([spec["weights"][model] for model in models], members, axes=1)
    if len(members[0]) == 0:
        return members[0]
    weights = np.array([spec["pool"][model] for model in models])
    if method == "pool":
        return softmax(pool.pooled(members, weights))
    if method == "logistic":
        return logistic.predict(meta_features(members, spec["floor"]), spec["logistic"])
    if method == "lightgbm" and spec["form"] == "per_class":
        return booster.predict(meta_features(members, spec["floor"]), num_threads=1)
    if method == "lightgbm":
        counts = shared.unpacked(spec["confusions"], models, members.shape[2])
        return shared.predict(members, weights, counts, spec["floor"], booster)
    raise ValueError(f"{method!r} is none of {METHODS}")


def tree_features(spec: dict, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What LightGBM reads of members (M, N, C): a number for each row, and the rows.

    The number is that of the sample, or with the shared form sample × C + candidate.
    """
    if spec["form"] == "per_class":
        return np.arange(members.shape[1]), meta_features(members, spec["floor"])
    counts = shared.unpacked(spec["confusions"], spec["models"], members.shape[2])
    chosen = shared.candidates(members, spec["floor"])
    numbers = chosen.sample * members.shape[2] + chosen.label
    return numbers, chosen.features(chosen.counted(counts), spec["floor"])


def predict_folds(method: str, spec: dict, members: np.ndarray, booster=None) -> np.ndarray:
    """(N, C): each fold's networks through `predict_stack`, then the mean; members is (M, n_splits, N, C)."""
    return np.mean([predict_stack(method, spec, fold, booster) for fold in np.moveaxis(members, 1, 0)], axis=0)


def predict_test(spec: dict, members, booster, methods: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """{method: (T, C) float32 logits} by `predict_folds`, of all methods by default; members is (M, n_splits, T, C)."""
    n_models, n_splits, n_rows, n_classes = members.shape
    predicted = {method: np.empty((n_rows, n_classes), np.float32) for method in methods or spec["methods"]}
    for rows in steps(blocks(n_rows, n_models * n_splits * n_classes), "stacking the test split"):
        block = members[:, :, rows]
        for method, table in predicted.items():
            table[rows] = log_probabilities(predict_folds(method, spec, block, booster))
    return predicted


def fit_stack(members, labels: np.ndarray, folds: np.ndarray, models, classes, config: dict):
    """Fit every method on all rows.

    Args:
        members: (M, N, C) seed-averaged out-of-fold probabilities.
        labels, folds: (N,) class indices, and the folds of the base models.
        models, classes: M and C names.
        config: the block `stack` of the config.

    Returns:
        (spec, booster): what `predict_stack` reads.
    """
    return fit_stacks(members, labels, folds, [np.ones(len(labels), bool)], models, classes, config)[0][:2]


class Fitted(NamedTuple):
    """What `predict_stack` reads, and the mask (N,) of the rows that it was fitted on."""

    spec: dict
    booster: Any
    rows: np.ndarray


def fit_stacks(
    members, labels: np.ndarray, folds: np.ndarray, subsets: Sequence[np.ndarray], models, classes, config: dict
) -> list[Fitted]:
    """As `fit_stack`, on each of `subsets` of the rows, masks (N,)."""
    from lightgbm import Booster

    form = form_of(*members.shape)
    methods = methods_of(form, config["method"])
    given = true_class(members, labels)
    features = meta_features(members[:], config["floor"]) if "logistic" in methods else np.empty(0)
    candidates = shared.collect(members, config["floor"]) if form == "shared" else None
    fitted = []
    pools = pool.fit_pools(members, labels, subsets)
    for rows, weights in steps(list(zip(subsets, pools, strict=True)), "fitting the stacks"):
        spec = {
            "method": config["method"],
            "methods": methods,
            "form": form,
            "classes": list(classes),
            "models": list(models),
            "floor": config["floor"],
            "best_single": models[best_single(given[:, rows])],
            "weights": _by_model(models, greedy_weights(given[:, rows])),
            "pool": _by_model(models, weights),
        }
        if "logistic" in methods:
            spec["meta_features"] = meta_feature_names(models, classes)
            spec["logistic"] = logistic.fit(features[rows], labels[rows], len(classes), config["floor"])
        if candidates is None:
            spec["lightgbm"] = per_class.parameters(config, len(classes))
            text = per_class.fit(features[rows], labels[rows], spec["lightgbm"])
        else:
            spec["lightgbm"] = shared.parameters(config)
            text, counts = shared.fit(
                candidates, labels, folds, rows, weights, len(classes), config["floor"], spec["lightgbm"]
            )
            spec["confusions"] = shared.packed(counts, models)
        booster = Booster(model_str=text)  # score what is deployed: the booster as read back from its text
        spec["importance"] = _by_model(models, _importance(booster, len(models)))
        fitted.append(Fitted(spec, booster, rows))
    return fitted


def outside_each_fold(labels: np.ndarray, folds: np.ndarray) -> list[np.ndarray]:
    """A mask (N,) for each fold: the rows of the others. Raises FoldstackError where these are of one class."""
    masks = [folds != fold for fold in np.unique(folds)]
    for fold, rest in zip(np.unique(folds), masks, strict=True):
        if len(np.unique(labels[rest])) < 2:
            raise FoldstackError(
                f"Outside fold {fold} all training samples are of one class: nothing can be stacked; "
                "use another folds.strategy or fewer n_splits."
            )
    return masks


def cross_predict(fitted: Sequence[Fitted], members, folds: np.ndarray) -> dict[str, np.ndarray]:
    """{method: (N, C) float32 logits}: each fold by its own one of `fitted`, which was fitted `outside_each_fold`.

    A row and the networks that predicted it share a fold, so neither a network nor the stacker that predicted a row was
    fitted on that row.
    """
    predicted: dict[str, np.ndarray] = {}
    n_models, _, n_classes = members.shape
    for (spec, booster, _), fold in steps(list(zip(fitted, np.unique(folds), strict=True)), "stacking held-out rows"):
        held_out = np.flatnonzero(folds == fold)
        for rows in steps(blocks(len(held_out), n_models * n_classes), "of one fold"):
            block = members[:, held_out[rows]]
            for method in spec["methods"]:
                table = predicted.setdefault(method, np.full(members.shape[1:], np.nan, np.float32))
                table[held_out[rows]] = log_probabilities(predict_stack(method, spec, block, booster))
    return predicted


def cross_fit(members, labels: np.ndarray, folds: np.ndarray, models, classes, config: dict) -> dict[str, np.ndarray]:
    """{method: (N, C) float32 logits}: fold k by what was fitted on the out-of-fold rows of the other folds."""
    masks = outside_each_fold(labels, folds)
    return cross_predict(fit_stacks(members, labels, folds, masks, models, classes, config), members, folds)


def _by_model(models: Sequence[str], values) -> dict[str, float]:
    return {model: float(value) for model, value in zip(models, values, strict=True)}


def _importance(booster, n_models: int) -> list[float]:
    """Each model's share of the gain of all splits; zeros where no tree splits."""
    gain = booster.feature_importance("gain").reshape(n_models, -1).sum(axis=1)
    return (gain / max(gain.sum(), np.finfo(float).tiny)).tolist()
