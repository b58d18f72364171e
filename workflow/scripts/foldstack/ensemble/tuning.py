"""The stacker's settings: as configured, or chosen by cross-validation inside the rows that it is fitted on (`tune`).

Inside a cross-fit these are the rows of the other folds, so no fold takes part in the choice of what predicts it.
"""

from collections.abc import Callable

import numpy as np

FLOORS = (1e-4, 1e-3, 1e-2)
LEAVES = (2, 4, 8)
PATIENCE = 20  # rounds


def lightgbm_parameters(config: dict, n_classes: int) -> dict:
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


def tuned(features_of: Callable, labels: np.ndarray, folds: np.ndarray, n_classes: int, config: dict) -> dict:
    """The block `stack` with the `floor`, `num_leaves` and `n_estimators` of the lowest log-loss.

    `n_estimators` of the config is the most that is tried. The folds are those of the base models, so that a stacker is
    judged on rows of networks that it has not learned from.

    Args:
        features_of: meta-features (N, F) of a floor.
        labels, folds: (N,) class indices and folds; n_classes: C, of which some may have no row here.
    """
    import lightgbm

    names = np.unique(folds)
    if len(names) < 2:
        return config  # one fold is left, which nothing can be held out of
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in names]
    found = []
    for floor in FLOORS:
        features = features_of(floor)
        for leaves in LEAVES:
            tried = config | {"floor": floor, "num_leaves": leaves}
            curve = lightgbm.cv(
                lightgbm_parameters(tried, n_classes),
                lightgbm.Dataset(features, labels, params={"verbosity": -1}),
                folds=splits,
                callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
            )["valid multi_logloss-mean"]
            found.append((min(curve), tried | {"n_estimators": int(np.argmin(curve)) + 1}))
    return min(found, key=lambda pair: pair[0])[1]
