"""LightGBM with one tree a class and round, on all models' log-probabilities of all classes: for few classes.

G. Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017.
"""

import numpy as np

from foldstack.jobs.progress import stage

LEAVES = 4  # of each tree, where the config names no number


def meta_features(members: np.ndarray, floor: float) -> np.ndarray:
    """(N, M * C) float64, `log(clip(p, floor, 1))`, from members (M, N, C)."""
    # float64, so that the trees split on the same numbers whether the probabilities came from a file or a network
    members = np.asarray(members, np.float64)
    return np.log(np.clip(members, floor, 1)).transpose(1, 0, 2).reshape(members.shape[1], -1)


def parameters(config: dict, n_classes: int) -> dict:
    """Parameters of `lightgbm.train`."""
    return common_parameters(config, LEAVES) | {"objective": "multiclass", "num_class": n_classes}


def common_parameters(config: dict, leaves: int) -> dict:
    """Those of both forms of LightGBM; the first row is what makes equal inputs give equal trees."""
    return {
        "deterministic": True, "force_row_wise": True, "num_threads": 1, "seed": config["seed"], "verbosity": -1,
        "num_iterations": config["n_estimators"],
        "learning_rate": config["learning_rate"],
        "num_leaves": config["num_leaves"] or leaves,
        "min_data_in_leaf": config["min_child_samples"],
        "feature_fraction": config["colsample"],
        "bagging_fraction": config["subsample"],
        "bagging_freq": 1,
        "lambda_l2": config["l2"],
    }  # fmt: skip


def fit(features: np.ndarray, labels: np.ndarray, settings: dict) -> str:
    """The fitted booster in LightGBM's own text format.

    Its columns are called Column_0...: LightGBM refuses names that class names may give; stack.json has them.
    """
    import lightgbm

    data = lightgbm.Dataset(features, labels, params={"verbosity": -1})
    with stage("boosting", settings["num_iterations"]) as step:
        return lightgbm.train(settings, data, callbacks=[lambda _: step()]).model_to_string()
