"""foldstack.metrics: every figure equals scikit-learn's."""

import numpy as np
import pytest
from fake_runs import noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.preprocessing import label_binarize

from foldstack.evaluation import metrics

AVERAGED = {
    "precision": reference.precision_score,
    "recall": reference.recall_score,
    "f1": reference.f1_score,
}


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
    averaged = {
        f"{name}{suffix}": score(labels, predicted, average=average, zero_division=0)
        for average, suffix in (("macro", ""), ("micro", "_micro"), ("weighted", "_weighted"))
        for name, score in AVERAGED.items()
    }
    assert scores == pytest.approx(
        averaged
        | {
            "accuracy": reference.accuracy_score(labels, predicted),
            "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
            "map": reference.average_precision_score(one_hot, probabilities, average="macro"),
            "roc_auc": reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
            "log_loss": reference.log_loss(labels, probabilities),
            "brier": reference.brier_score_loss(labels, probabilities),
            "kappa": reference.cohen_kappa_score(labels, predicted),
            "top_3": reference.top_k_accuracy_score(labels, probabilities, k=3) if n_classes > 3 else np.nan,
            "top_5": reference.top_k_accuracy_score(labels, probabilities, k=5) if n_classes > 5 else np.nan,
        },
        nan_ok=True,
    )
    assert metrics.core_scores(labels, probabilities) == {name: scores[name] for name in metrics.CORE}
    by_class = reference.average_precision_score(one_hot, probabilities, average=None)
    rows = metrics.per_class(labels, probabilities, [str(i) for i in range(n_classes)])
    assert [row["average_precision"] for row in rows] == pytest.approx(by_class.tolist())


def test_with_one_label_a_sample_all_micro_averages_are_the_accuracy():
    scores = metrics.scores(*case())
    same = ("precision_micro", "recall_micro", "f1_micro", "recall_weighted")
    assert [scores[name] for name in same] == pytest.approx([scores["accuracy"]] * 4)


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
    assert all(np.isfinite(value) for name, value in scores.items() if not name.startswith("top_"))
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


def test_no_sample_has_no_score():
    labels, probabilities = np.empty(0, np.int64), np.empty((0, 3))
    assert np.isnan(list(metrics.scores(labels, probabilities).values())).all()
    assert np.isnan(list(metrics.core_scores(labels, probabilities).values())).all()
    assert metrics.confusion(labels, probabilities) == metrics.per_class(labels, probabilities, list("abc")) == []
