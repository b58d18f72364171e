"""foldstack.probabilities: softmax, log-loss and temperature against scipy and scikit-learn, and at their limits."""

import numpy as np
import pytest
from fake_runs import noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics as reference
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from foldstack.probabilities import HIGHEST, LOWEST, TINY, log_loss, softmax, temperature, with_temperature


def case(n=200, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    return labels, noisy_probabilities(labels, n_classes, 1.5, rng)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(1e-3, 1e4))
def test_softmax_is_scipys_in_double_precision_however_large_the_logits(seed, n_classes, scale):
    logits = (scale * np.random.default_rng(seed).normal(size=(20, n_classes))).astype(np.float32)
    found = softmax(logits)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, special.softmax(logits.astype(np.float64), axis=1), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_the_log_loss_is_scikit_learns(seed, n_classes):
    labels, probabilities = case(60, n_classes, seed)
    expected = reference.log_loss(labels, probabilities, labels=range(n_classes))
    assert log_loss(labels, probabilities) == pytest.approx(expected)


def test_a_truth_that_was_ruled_out_costs_much_but_not_infinitely():
    assert log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(TINY))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 0.95) | st.floats(1.05, 10))
def test_a_temperature_keeps_the_order_and_is_undone_by_its_inverse(seed, value):
    _, probabilities = case(20, 4, seed)
    changed = with_temperature(probabilities, value)
    assert (changed.argsort(axis=1) == probabilities.argsort(axis=1)).all()
    assert ((changed.max(axis=1) < probabilities.max(axis=1)) == (value > 1)).all()
    np.testing.assert_allclose(with_temperature(changed, 1 / value), probabilities, atol=1e-6)


def test_the_temperature_is_scikit_learns():
    labels, probabilities = case(600)
    scores = np.log(probabilities) * 3  # too sure
    base = LogisticRegression().fit(scores, labels)
    base.coef_, base.intercept_ = np.eye(3), np.zeros(3)
    fitted = CalibratedClassifierCV(FrozenEstimator(base), method="temperature").fit(scores, labels)
    softmax = with_temperature(np.exp(scores - scores.max(axis=1, keepdims=True)), 1)
    value = temperature(labels, softmax)
    expected = fitted.predict_proba(scores)
    assert value > 1.5
    np.testing.assert_allclose(with_temperature(softmax, value), expected, atol=1e-3)


def test_a_temperature_stays_within_its_limits():
    labels = np.arange(30) % 3
    always_right = np.eye(3)[labels] * 0.4 + 0.2
    assert LOWEST <= temperature(labels, always_right) < 1.1 * LOWEST
    always_wrong = np.eye(3)[(labels + 1) % 3] * 0.4 + 0.2
    assert 0.9 * HIGHEST < temperature(labels, always_wrong) <= HIGHEST
