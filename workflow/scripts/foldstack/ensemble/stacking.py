"""Stacking: learn from out-of-fold predictions how to combine the base models (Wolpert, Stacked Generalization, 1992).

One definition serves estimation and deployment. `members` is always (M, N, C): the seed-averaged probabilities of M
models, from the networks of *one* fold. The stacker never sees an average over folds as its input, because it was
fitted on the sharpness of single networks; averaging over folds comes after it.

Applying a stack needs numpy and a `lightgbm.Booster` only; scikit-learn and lightgbm are imported only to fit one.
"""

from collections.abc import Sequence

import numpy as np

from foldstack.ensemble.blending import best_single, greedy_weights
from foldstack.errors import FoldstackError
from foldstack.probabilities import softmax

BLENDS = ("best_single", "mean", "greedy")
STACKS = ("logistic", "lightgbm")
METHODS = BLENDS + STACKS  # from the simplest to the least simple
OPTIONAL: tuple[str, ...] = ()
LOGISTIC_ITERATIONS = 5000


def meta_feature_names(models: Sequence[str], classes: Sequence[str]) -> list[str]:
    """`<model>__<class>`, in the order of the columns of `meta_features`."""
    return [f"{model}__{name}" for model in models for name in classes]


def meta_features(members: np.ndarray, floor: float) -> np.ndarray:
    """(N, M * C) float64, `log(clip(p, floor, 1))`, from members (M, N, C)."""
    # float64, so that the trees split on the same numbers whether the probabilities came from a file or a network
    members = np.asarray(members, np.float64)
    return np.log(np.clip(members, floor, 1)).transpose(1, 0, 2).reshape(members.shape[1], -1)


def predict_stack(method: str, spec: dict, members: np.ndarray, booster=None) -> np.ndarray:
    """Combine the predictions of one fold's networks.

    Args:
        method: one of METHODS.
        spec: stack.json.
        members: (M, N, C) seed-averaged probabilities, models in the order of `spec["models"]`.
        booster: the `lightgbm.Booster` of stacker.txt; for `lightgbm` only.

    Returns:
        (N, C) float64 probabilities.
    """
    members = np.asarray(members, np.float64)
    if method == "best_single":
        return members[spec["models"].index(spec["best_single"])]
    if method == "mean":
        return members.mean(axis=0)
    if method == "greedy":
        return np.tensordot([spec["weights"][model] for model in spec["models"]], members, axes=1)
    if len(members[0]) == 0:
        return members[0]
    features = meta_features(members, spec["floor"])
    if method == "logistic":
        return softmax(features @ np.transpose(spec["logistic"]["coef"]) + spec["logistic"]["intercept"])
    if method == "lightgbm":
        return booster.predict(features, num_threads=1)
    raise ValueError(f"{method!r} is none of {METHODS}")


def predict_folds(method: str, spec: dict, members: np.ndarray, booster=None) -> np.ndarray:
    """(N, C): each fold's networks through `predict_stack`, then the mean; members is (M, n_splits, N, C)."""
    return np.mean([predict_stack(method, spec, fold, booster) for fold in np.moveaxis(members, 1, 0)], axis=0)


def fit_stack(members: np.ndarray, labels: np.ndarray, models: Sequence[str], classes: Sequence[str], config: dict):
    """Fit every method on these rows.

    Args:
        members: (M, N, C) seed-averaged out-of-fold probabilities.
        labels: (N,) class indices.
        models, classes: M and C names.
        config: the block `stack` of the config.

    Returns:
        (spec, booster): what `predict_stack` reads.
    """
    from lightgbm import Booster

    weights = greedy_weights(members, labels)
    features = meta_features(members, config["floor"])
    parameters = _lightgbm_parameters(config, len(classes))
    # Score what is deployed: the booster as read back from its text.
    booster = Booster(model_str=_fit_lightgbm(features, labels, parameters))
    spec = {
        "method": config["method"],
        "classes": list(classes),
        "models": list(models),
        "meta_features": meta_feature_names(models, classes),
        "floor": config["floor"],
        "best_single": models[best_single(members, labels)],
        "weights": {model: float(weight) for model, weight in zip(models, weights, strict=True)},
        "logistic": _fit_logistic(features, labels, len(classes), config["floor"]),
        "lightgbm": parameters,
        "importance": dict(zip(models, _importance(booster, len(models)), strict=True)),
    }
    return spec, booster


def cross_fit(
    members: np.ndarray, labels: np.ndarray, folds: np.ndarray, models, classes, config, fitted_on: dict | None = None
) -> dict:
    """{method: (N, C)}: fold k is predicted by what was fitted on the out-of-fold rows of the other folds.

    `folds` (N,) are the folds of the base models: a row and the networks that predicted it share them, so neither a
    network nor the stacker that predicted a row was fitted on that row. `fitted_on`, if given, is filled with
    {fold: positions of the rows that its methods were fitted on}: the proof of that (`folds.proof`).
    """
    predicted = {method: np.full(members.shape[1:], np.nan) for method in METHODS}
    for fold in np.unique(folds):
        rest, held_out = folds != fold, folds == fold
        if len(np.unique(labels[rest])) < 2:
            raise FoldstackError(
                f"Outside fold {fold} all training samples are of one class: nothing can be stacked; "
                "use another folds.strategy or fewer n_splits."
            )
        spec, booster = fit_stack(members[:, rest], labels[rest], models, classes, config)
        if fitted_on is not None:
            fitted_on[int(fold)] = np.flatnonzero(rest)
        for method in METHODS:
            predicted[method][held_out] = predict_stack(method, spec, members[:, held_out], booster)
    return predicted


def _fit_logistic(features: np.ndarray, labels: np.ndarray, n_classes: int, floor: float) -> dict:
    """Multinomial logistic regression as `coef` (C, F) and `intercept` (C,), for a softmax over all classes."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # the order of a sum, and with it the last bits, may depend on the number of threads
        fitted = LogisticRegression(max_iter=LOGISTIC_ITERATIONS).fit(features, labels)
    present, coef, intercept = fitted.classes_, fitted.coef_, fitted.intercept_
    if len(present) == 2:  # scikit-learn keeps one row, the logit of the second class against the first
        coef, intercept = np.vstack([0 * coef, coef]), np.append(0, intercept)
    # A class without a sample in these rows gets no probability: an intercept far below any logit, since no feature
    # is larger than -log(floor).
    lowest = intercept + np.abs(coef).sum(axis=1) * np.log(floor)
    all_coef = np.zeros((n_classes, features.shape[1]))
    all_intercept = np.full(n_classes, lowest.min() - 50)
    all_coef[present], all_intercept[present] = coef, intercept
    return {"coef": all_coef.tolist(), "intercept": all_intercept.tolist()}


def _lightgbm_parameters(config: dict, n_classes: int) -> dict:
    """Parameters of `lightgbm.train`; the first row is what makes equal inputs give equal trees."""
    return {
        "deterministic": True, "force_row_wise": True, "num_threads": 1, "seed": config["seed"], "verbosity": -1,
        "objective": "multiclass",
        "num_class": n_classes,
        "num_iterations": config["n_estimators"],
        "learning_rate": config["learning_rate"],
        "num_leaves": config["num_leaves"],
        "min_data_in_leaf": config["min_child_samples"],
        "feature_fraction": config["colsample"],
        "bagging_fraction": config["subsample"],
        "bagging_freq": 1,
        "lambda_l2": config["l2"],
    }  # fmt: skip


def _fit_lightgbm(features: np.ndarray, labels: np.ndarray, parameters: dict) -> str:
    """The fitted stacker in LightGBM's own text format.

    Its columns are called Column_0...: LightGBM refuses names that class names may give; stack.json has them.
    """
    import lightgbm

    data = lightgbm.Dataset(features, labels, params={"verbosity": -1})
    return lightgbm.train(parameters, data).model_to_string()


def _importance(booster, n_models: int) -> list[float]:
    """Each model's share of the gain of all splits; zeros where no tree splits."""
    gain = booster.feature_importance("gain").reshape(n_models, -1).sum(axis=1)
    return (gain / max(gain.sum(), np.finfo(float).tiny)).tolist()
