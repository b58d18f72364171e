"""foldstack.ensemble, stacking and blending: equivalence with scikit-learn, honesty of the cross-fit, determinism."""

import json

import numpy as np
import pytest
from fake_runs import STACK, noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import Booster
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from foldstack import probabilities
from foldstack.ensemble import blending, logistic, pool, shared, stacking
from foldstack.errors import FoldstackError
from foldstack.probabilities import negative_log, softmax

MODELS = ["a", "b", "c"]


def problem(n=150, n_classes=3, strengths=(0.5, 1.0, 1.5), seed=0):
    """(members (M, N, C), labels (N,), folds (N,))."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    members = np.stack([noisy_probabilities(labels, n_classes, strength, rng) for strength in strengths])
    return members, labels, rng.permutation(np.arange(n) % 5)


def fit(members, labels):
    return stacking.fit_stack(members, labels, np.arange(len(labels)) % 5, MODELS, names(members), STACK)


def cross_fit(members, labels, folds):
    """{method: (N, C) probabilities}, as they come back from the files' logits."""
    found = stacking.cross_fit(members, labels, folds, MODELS, names(members), STACK)
    return {method: softmax(logits) for method, logits in found.items()}


def names(members):
    return [f"class {i}" for i in range(members.shape[2])]


def test_meta_features_are_named_floored_logs():
    members, _, _ = problem()
    members[1, 0] = [1.0, 0.0, 0.0]
    features = stacking.meta_features(members, 0.001)
    columns = stacking.meta_feature_names(MODELS, ["x", "y", "z"])
    assert columns[4] == "b__y"
    assert np.array_equal(features[1:, 4], np.log(np.clip(members[1, 1:, 1], 0.001, 1)))
    assert features[0, 3:6].tolist() == [0.0, np.log(0.001), np.log(0.001)]


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_cross_fitted_logistic_equals_scikit_learn(n_classes):
    members, labels, folds = problem(n_classes=n_classes)
    features = stacking.meta_features(members, STACK["floor"])
    expected = cross_val_predict(
        LogisticRegression(max_iter=logistic.ITERATIONS),
        features,
        labels,
        cv=PredefinedSplit(folds),
        method="predict_proba",
    )
    assert np.allclose(cross_fit(members, labels, folds)["logistic"], expected, atol=1e-6)


class Known(ClassifierMixin, BaseEstimator):
    """A fitted base model for scikit-learn: a row of X is the number of a sample, its features are known."""

    def __init__(self, features, n_classes):
        self.features, self.n_classes = features, n_classes
        self.classes_ = np.arange(n_classes)

    def fit(self, rows, labels):
        raise AssertionError("base models are prefit")

    def predict_proba(self, rows):
        return self.features[rows[:, 0]]


def test_cross_fitted_logistic_equals_scikit_learns_stacking_classifier():
    """On the same base predictions; its meta-features are what the base models give, so they give floored logs."""
    members, labels, folds = problem(n=200, n_classes=4)
    known = [Known(np.log(np.clip(each, STACK["floor"], 1)), 4) for each in members]
    rows = np.arange(200)[:, None]
    expected = np.empty(members.shape[1:])
    for fold in range(5):
        rest, held_out = folds != fold, folds == fold
        stack = StackingClassifier(
            list(zip(MODELS, known, strict=True)),
            LogisticRegression(max_iter=logistic.ITERATIONS),
            cv="prefit",
            stack_method="predict_proba",
        )
        expected[held_out] = stack.fit(rows[rest], labels[rest]).predict_proba(rows[held_out])
    assert np.allclose(cross_fit(members, labels, folds)["logistic"], expected, atol=1e-6)


def test_the_importance_is_each_models_share_of_the_gain():
    members, labels, _ = problem(strengths=(0.0, 0.5, 2.5))
    spec, booster = fit(members, labels)
    gain = booster.feature_importance("gain")
    assert list(spec["importance"]) == MODELS
    assert sum(spec["importance"].values()) == pytest.approx(1)
    assert spec["importance"]["c"] == pytest.approx(gain[6:].sum() / gain.sum())
    assert spec["importance"]["c"] > 0.7
    assert spec["method"] == "lightgbm"


@pytest.mark.parametrize("method", stacking.METHODS)
def test_no_prediction_of_a_fold_depends_on_its_labels(method):
    members, labels, folds = problem()
    before = cross_fit(members, labels, folds)[method]
    changed = labels.copy()
    rows = folds == 2
    changed[rows] = np.roll(labels[rows], 1)
    after = cross_fit(members, changed, folds)[method]
    assert (changed != labels).any()
    assert np.array_equal(before[rows], after[rows])


@pytest.mark.parametrize("method", ["logistic", "lightgbm"])
def test_labels_of_other_folds_do_matter(method):
    members, labels, folds = problem()
    changed = np.where(folds == 2, labels, (labels + 1) % 3)
    before, after = (cross_fit(members, each, folds)[method][folds == 2] for each in (labels, changed))
    assert not np.allclose(before, after)


@pytest.mark.parametrize("method", stacking.METHODS)
def test_permuted_labels_score_at_chance(method):
    members, labels, folds = problem(n=900)
    permuted = np.random.default_rng(1).permutation(labels)
    accuracy = np.mean(cross_fit(members, permuted, folds)[method].argmax(axis=1) == permuted)
    assert abs(accuracy - 1 / 3) < 4 * np.sqrt(2 / 9 / 900)


@pytest.mark.parametrize("method", stacking.METHODS)
def test_every_method_gives_probabilities_and_uses_the_signal(method):
    members, labels, folds = problem(n=300, strengths=(1.5, 2.0, 2.5))
    predicted = cross_fit(members, labels, folds)[method]
    assert np.allclose(predicted.sum(axis=1), 1)
    assert (predicted >= 0).all()
    assert np.mean(predicted.argmax(axis=1) == labels) > 0.7


def test_the_single_model_of_a_fold_is_chosen_on_the_other_folds():
    """In fold 0 model a is right and b is wrong; elsewhere the other way round: a may never be chosen."""
    labels, folds = np.arange(20) % 2, np.repeat(np.arange(5), 4)
    right = np.where(np.arange(2) == labels[:, None], 0.9, 0.1)
    members = np.stack(
        [np.where(folds[:, None] == 0, right, 1 - right), np.where(folds[:, None] == 0, 1 - right, right)]
    )
    predicted = stacking.cross_fit(members, labels, folds, ["a", "b"], ["x", "y"], STACK)["best_single"]
    assert np.allclose(softmax(predicted), members[1])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 5))
def test_greedy_is_never_worse_than_the_lowest_single_on_its_rows(seed, n_models, n_classes):
    rng = np.random.default_rng(seed)
    members, labels, _ = problem(60, n_classes, rng.uniform(0, 3, n_models), seed)
    weights = blending.greedy_weights(blending.true_class(members, labels))
    losses = [log_loss(labels, each, labels=range(n_classes)) for each in members]
    blend = np.tensordot(weights, members, axes=1)
    assert weights.sum() == pytest.approx(1)
    assert log_loss(labels, blend, labels=range(n_classes)) <= min(losses) + 1e-12
    assert blending.best_single(blending.true_class(members, labels)) == int(np.argmin(losses))


def test_greedy_equals_the_slow_reference():
    members, labels, _ = problem()
    chosen, lowest = [], (np.inf, None)
    for _ in range(blending.GREEDY_ROUNDS):
        losses = [log_loss(labels, members[[*chosen, i]].mean(axis=0)) for i in range(len(members))]
        chosen.append(int(np.argmin(losses)))
        lowest = min(lowest, (min(losses), len(chosen)))
    expected = np.bincount(chosen[: lowest[1]], minlength=len(members)) / lowest[1]
    assert np.allclose(blending.greedy_weights(blending.true_class(members, labels)), expected)


def test_equal_inputs_give_equal_bytes():
    members, labels, _ = problem()
    (spec, booster), (again, booster_again) = fit(members, labels), fit(members, labels)
    assert json.dumps(spec) == json.dumps(again)
    assert booster.model_to_string() == booster_again.model_to_string()


@pytest.mark.parametrize("method", stacking.METHODS)
def test_the_saved_stack_predicts_what_the_fitted_one_does(method):
    members, labels, _ = problem()
    spec, booster = fit(members, labels)
    loaded = json.loads(json.dumps(spec)), Booster(model_str=booster.model_to_string())
    assert np.array_equal(
        stacking.predict_stack(method, loaded[0], members, loaded[1]),
        stacking.predict_stack(method, spec, members, booster),
    )


@pytest.mark.parametrize("method", stacking.METHODS)
def test_each_fold_goes_through_the_stack_before_the_mean(method):
    members, labels, _ = problem()
    spec, booster = fit(members, labels)
    by_fold = np.stack([members[:, :50], members[:, 50:100], members[:, 100:]], axis=1)
    expected = sum(stacking.predict_stack(method, spec, by_fold[:, k], booster) for k in range(3)) / 3
    assert np.allclose(stacking.predict_folds(method, spec, by_fold, booster), expected, atol=1e-12)


@pytest.mark.parametrize("method", stacking.METHODS)
def test_no_sample_gives_no_prediction(method):
    members, labels, _ = problem()
    spec, booster = fit(members, labels)
    assert stacking.predict_folds(method, spec, np.empty((3, 5, 0, 3)), booster).shape == (0, 3)


def test_a_class_that_only_one_fold_has_gets_no_probability_there():
    members, labels, folds = problem(n_classes=4)
    folds[labels == 3] = 2
    predicted = cross_fit(members, labels, folds)
    assert predicted["logistic"][folds == 2, 3].max() < 1e-12
    assert predicted["lightgbm"][folds == 2, 3].max() < 0.01
    for values in predicted.values():
        assert np.isfinite(values).all()


def test_one_class_outside_a_fold_is_refused():
    members, labels, folds = problem(n_classes=2)
    folds = np.where(labels == 1, 0, 1)
    with pytest.raises(FoldstackError, match="Outside fold 0"):
        cross_fit(members, labels, folds)


@pytest.fixture(params=["per_class", "shared"])
def form(request, monkeypatch):
    """LightGBM's form, whatever the size."""
    monkeypatch.setattr(stacking, "PER_CLASS", 10**6 if request.param == "per_class" else 0)
    return request.param


def confused(n=3000, n_classes=60, seed=0):
    """Models that are right for their strong classes and often take one class for another, each its own."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    members = []
    for _ in MODELS:
        taken_for = rng.permutation(n_classes)
        wrong = rng.random(n) < rng.uniform(0.1, 0.6, n_classes)[labels]
        seen = np.where(wrong, taken_for[labels], labels)
        logits = rng.normal(size=(n, n_classes)) + 5 * (np.arange(n_classes) == seen[:, None])
        members.append(softmax(logits))
    return np.stack(members), labels, rng.permutation(np.arange(n) % 5)


def test_one_booster_for_many_classes_beats_what_it_starts_from():
    members, labels, folds = confused()
    predicted = cross_fit(members, labels, folds)
    assert set(predicted) == set(stacking.METHODS) - {"logistic"}
    loss = {name: negative_log(values[np.arange(len(labels)), labels]).mean() for name, values in predicted.items()}
    assert loss["lightgbm"] < 0.8 * loss["pool"] < 0.8 * min(loss["mean"], loss["best_single"])
    for values in predicted.values():
        assert np.allclose(values.sum(axis=1), 1)


def test_the_form_follows_from_the_size_alone():
    assert stacking.form_of(5, 100_000, 10) == stacking.form_of(3, 1000, 50) == "per_class"
    assert stacking.form_of(3, 1000, 51) == stacking.form_of(5, 100_000, 50) == "shared"
    assert stacking.methods_of("shared", "logistic") == list(stacking.METHODS)


def test_no_prediction_of_a_fold_depends_on_its_labels_in_either_form(form):
    members, labels, folds = confused(600, 8)
    changed = np.where(folds == 2, (labels + 1) % 8, labels)
    before, after = (cross_fit(members, each, folds)["lightgbm"] for each in (labels, changed))
    assert np.array_equal(before[folds == 2], after[folds == 2])
    assert not np.allclose(before[folds != 2], after[folds != 2])


def test_counts_are_taken_from_other_rows_than_those_they_are_features_of():
    """On labels that have nothing to do with the predictions, counts of the own row would look like knowledge."""
    members, labels, folds = confused(1500, 12)
    labels = np.random.default_rng(1).permutation(labels)
    whole = shared.collect(members, 0.001)
    for rows in (np.ones(len(labels), bool), folds == 0):
        text, _ = shared.fit(whole, labels, folds, rows, np.full(3, 1 / 3), 12, 0.001, shared.parameters(STACK))
        gain = Booster(model_str=text).feature_importance("gain").reshape(3, shared.FEATURES)
        assert gain[:, 2].sum() < 0.6 * gain.sum()


def test_leading_classes_are_few_likely_and_the_first_of_equals():
    rows = np.array([[0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0.9, 0.1, 0, 0, 0, 0, 0, 0], np.full(8, 0.0001)])
    chosen = shared.leading(rows, 0.001)
    assert [np.flatnonzero(row).tolist() for row in chosen] == [[0, 1, 2, 3, 4], [0, 1], [0]]


@pytest.mark.parametrize("cells", [200, 10**6])
def test_nothing_depends_on_the_size_of_a_block(monkeypatch, cells):
    members, labels, folds = confused(300, 12)
    monkeypatch.setattr(stacking, "PER_CLASS", 2)
    expected = stacking.cross_fit(members, labels, folds, MODELS, names(members), STACK)
    monkeypatch.setattr(probabilities, "BLOCK_CELLS", cells)
    found = stacking.cross_fit(members, labels, folds, MODELS, names(members), STACK)
    for method, logits in expected.items():
        np.testing.assert_allclose(found[method], logits, atol=1e-5, err_msg=method)


def test_the_pool_is_where_the_log_loss_is_lowest():
    members, labels, _ = problem(400, strengths=(0.5, 1.0, 2.5))
    rows = np.arange(400) % 2 == 0

    def loss(weights, chosen):
        values = softmax(pool.pooled(members[:, chosen], weights))
        apart = weights - 1 / 3
        return negative_log(values[np.arange(chosen.sum()), labels[chosen]]).sum() + pool.RIDGE * apart @ apart / 2

    for chosen, weights in zip((rows, ~rows), pool.fit_pools(members, labels, [rows, ~rows]), strict=True):
        expected = minimize(loss, np.full(3, 1 / 3), (chosen,), tol=1e-10)
        assert loss(weights, chosen) <= expected.fun + 1e-9
        np.testing.assert_allclose(weights, expected.x, atol=1e-4)


def test_a_pool_of_one_model_has_a_temperature():
    members, labels, _ = problem(3000, strengths=(1.5,))
    sharp = softmax(3 * np.log(members))
    (weights,) = pool.fit_pools(sharp, labels, [np.ones(3000, bool)])
    (plain,) = pool.fit_pools(members, labels, [np.ones(3000, bool)])
    np.testing.assert_allclose(3 * weights, plain, rtol=0.01)


def test_confusions_are_kept_whole():
    counts = np.random.default_rng(0).poisson(0.3, (3, 7, 7))
    kept = json.loads(json.dumps(shared.packed(counts, MODELS)))
    assert np.array_equal(shared.unpacked(kept, MODELS, 7), counts)
