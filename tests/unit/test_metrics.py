"""foldstack.metrics: every figure equals scikit-learn's; intervals behave as intervals."""

import numpy as np
import pytest
from fake_runs import noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn import metrics as reference
from sklearn.preprocessing import label_binarize

from foldstack import metrics


def case(n=80, n_classes=4, strength=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    return labels, noisy_probabilities(labels, n_classes, strength, rng)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 6), st.integers(60, 120))
def test_every_metric_equals_scikit_learn(seed, n_classes, n):
    labels, probabilities = case(n, n_classes, 1.0, seed)
    labels[:n_classes] = np.arange(n_classes)
    predicted = probabilities.argmax(axis=1)
    one_hot = label_binarize(labels, classes=range(n_classes))
    scores = metrics.scores(labels, probabilities)
    assert list(scores) == list(metrics.METRICS)
    assert scores == pytest.approx(
        {
            "accuracy": reference.accuracy_score(labels, predicted),
            "precision": reference.precision_score(labels, predicted, average="macro", zero_division=0),
            "recall": reference.recall_score(labels, predicted, average="macro"),
            "f1": reference.f1_score(labels, predicted, average="macro"),
            "map": reference.average_precision_score(one_hot, probabilities, average="macro"),
            "log_loss": reference.log_loss(labels, probabilities),
        }
    )


def test_two_classes_are_treated_as_two_one_vs_rest_problems():
    labels, probabilities = case(n_classes=2)
    each = [reference.average_precision_score(labels == i, probabilities[:, i]) for i in (0, 1)]
    assert metrics.scores(labels, probabilities)["map"] == pytest.approx(np.mean(each))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_class_without_a_sample_is_left_out_of_the_means():
    labels, probabilities = case(n_classes=3)
    labels = np.where(labels == 2, 0, labels)
    predicted = probabilities.argmax(axis=1)
    scores = metrics.scores(labels, probabilities)
    assert scores["recall"] == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert all(np.isfinite(value) for value in scores.values())
    row = metrics.per_class(labels, probabilities, ["a", "b", "c"])[2]
    assert row == {"class": "c", "support": 0, "precision": 0.0, "recall": None, "f1": 0.0, "average_precision": None}


def test_the_classes_and_the_confusion_matrix_add_up():
    labels, probabilities = case()
    rows = metrics.per_class(labels, probabilities, list("abcd"))
    matrix = np.array(metrics.confusion(labels, probabilities))
    assert matrix.shape == (4, 4)
    assert [row["support"] for row in rows] == np.bincount(labels, minlength=4).tolist() == matrix.sum(axis=1).tolist()
    assert np.trace(matrix) / matrix.sum() == pytest.approx(metrics.scores(labels, probabilities)["accuracy"])
    assert np.mean([row["recall"] for row in rows]) == pytest.approx(metrics.scores(labels, probabilities)["recall"])


def test_the_interval_equals_the_resampling_of_rows():
    labels, probabilities = case(n=200)
    hits = (probabilities.argmax(axis=1) == labels).astype(float)
    slow = bootstrap((hits,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    low, high = metrics.accuracy_interval(labels, probabilities, 20_000, 0)
    assert (low, high) == pytest.approx((slow.low, slow.high), abs=0.006)
    assert low < hits.mean() < high


def test_the_paired_difference_equals_the_resampling_of_rows():
    labels, first = case(n=300, strength=1.5)
    second = noisy_probabilities(labels, 4, 1.0, np.random.default_rng(1))
    paired = (first.argmax(axis=1) == labels).astype(float) - (second.argmax(axis=1) == labels)
    slow = bootstrap((paired,), np.mean, n_resamples=20_000, method="percentile", rng=0).confidence_interval
    found = metrics.accuracy_difference(labels, first, second, 20_000, 0)
    assert found["difference"] == pytest.approx(paired.mean())
    assert (found["low"], found["high"]) == pytest.approx((slow.low, slow.high), abs=0.008)


def test_a_contender_does_not_differ_from_itself():
    labels, probabilities = case()
    assert metrics.accuracy_difference(labels, probabilities, probabilities, 500, 0) == {
        "difference": 0.0,
        "low": 0.0,
        "high": 0.0,
    }


def test_no_sample_has_no_score():
    labels, probabilities = np.empty(0, np.int64), np.empty((0, 3))
    assert np.isnan(list(metrics.scores(labels, probabilities).values())).all()
    assert np.isnan(metrics.accuracy_interval(labels, probabilities, 100, 0)).all()
    assert metrics.confusion(labels, probabilities) == metrics.per_class(labels, probabilities, list("abc")) == []
