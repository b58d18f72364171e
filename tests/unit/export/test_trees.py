"""foldstack.export.trees: LightGBM's scores up to the last bit, and a refusal of all that would be silently wrong."""

import lightgbm
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from foldstack.errors import FoldstackError
from foldstack.export.trees import thresholds, tree_node

PLAIN = {"objective": "multiclass", "num_class": 3, "num_leaves": 5, "min_data_in_leaf": 3, "verbosity": -1}
PLAIN |= {"num_threads": 1, "seed": 0, "deterministic": True}


def data(missing=False):
    random = np.random.default_rng(0)
    features = np.log(np.clip(random.random((200, 6)), 1e-3, 1))
    labels = (features[:, 0] > -1).astype(int) + (features[:, 3] > -0.5)
    if missing:
        features[random.random(features.shape) < 0.2] = np.nan
    return features, labels


def fit(missing=False, rounds=12, **changes):
    features, labels = data(missing)
    return lightgbm.train(PLAIN | changes, lightgbm.Dataset(features, labels), rounds)


def scores(booster, rows, n_classes=3):
    graph = helper.make_graph(
        [tree_node(booster, 6, n_classes, "x", "y")],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", n_classes])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 5)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": rows})[0]


def adversarial(booster):
    """Real rows; rows at, just below and just above each threshold; missing, zero, saturated."""
    rows = [*data()[0], np.full(6, np.nan), np.zeros(6), np.full(6, np.log(1e-3))]
    for column, limits in enumerate(thresholds(booster)):
        for limit in limits:
            for value in (limit, np.nextafter(limit, -np.inf), np.nextafter(limit, np.inf), np.nan):
                rows.append(rows[column].copy())
                rows[-1][column] = value
    rows = np.array(rows)
    return np.where(np.abs(rows) < 2e-35, 0, rows)  # as LightGBM does before it looks at thresholds; no log is so small


@pytest.mark.parametrize("missing", [False, True])
def test_raw_scores_are_lightgbms_at_and_around_every_threshold(missing):
    booster = fit(missing)
    rows = adversarial(booster)
    assert sum(map(len, thresholds(booster))) >= 8
    # the runtime may add up the trees in another order: that moves the last bit
    np.testing.assert_allclose(scores(booster, rows), booster.predict(rows, raw_score=True), rtol=0, atol=2e-15)


def test_trees_without_a_split_count_too():
    booster = fit(min_data_in_leaf=150, rounds=2)
    assert all("threshold" not in tree["tree_structure"] for tree in booster.dump_model()["tree_info"])
    rows = data()[0]
    found = scores(booster, rows)
    np.testing.assert_allclose(found, booster.predict(rows, raw_score=True), rtol=0, atol=2e-15)
    assert np.abs(found).max() > 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"objective": "multiclassova"}, "objective"),
        ({"objective": "binary", "num_class": 1, "sigmoid": 2.0}, "objective"),
        ({"zero_as_missing": True}, "zero"),
        ({"linear_tree": True}, "linear leaves"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "random forest"),
        ({"num_class": 4}, "other classes"),
    ],
)
def test_what_would_be_silently_wrong_is_refused(changes, reason):
    features, labels = data()
    labels = np.minimum(labels, 1) if changes.get("objective") == "binary" else labels
    settings = PLAIN | changes
    booster = lightgbm.train(settings, lightgbm.Dataset(features, labels, params=settings), 3)
    with pytest.raises(FoldstackError, match=reason):
        tree_node(booster, 6, 3, "x", "y")


def test_categories_and_other_features_are_refused():
    features, labels = data()
    features[:, 0] = np.arange(200) % 7
    labels = (features[:, 0] % 3).astype(int)
    categories = {"min_data_per_group": 1, "cat_smooth": 1, "max_cat_to_onehot": 1}
    booster = lightgbm.train(PLAIN | categories, lightgbm.Dataset(features, labels, categorical_feature=[0]), 3)
    with pytest.raises(FoldstackError, match="splits by =="):
        tree_node(booster, 6, 3, "x", "y")
    with pytest.raises(FoldstackError, match="other meta-features"):
        tree_node(fit(), 7, 3, "x", "y")
