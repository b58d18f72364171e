"""foldstack.evaluation.metrics and by_class: every figure equals scikit-learn's."""

import numpy as np
import pytest
from fake_runs import noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.preprocessing import label_binarize

from foldstack.evaluation import by_class, metrics


def case(n=80, n_classes=4, strength=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    return labels, noisy_probabilities(labels, n_classes, strength, rng)


def twins(labels, probabilities):
    """Each metric by scikit-learn, of labels that hold every class."""
    n_classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)
    one_hot = label_binarize(labels, classes=range(n_classes))
    macro, weighted = ({"average": average, "zero_division": 0} for average in ("macro", "weighted"))
    return {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "precision": reference.precision_score(labels, predicted, **macro),
        "f1": reference.f1_score(labels, predicted, **macro),
        "map": reference.average_precision_score(one_hot, probabilities, average="macro"),
        "roc_auc": reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
        "log_loss": reference.log_loss(labels, probabilities),
        "brier": reference.brier_score_loss(labels, probabilities),
        "mcc": reference.matthews_corrcoef(labels, predicted),
        "kappa": reference.cohen_kappa_score(labels, predicted),
        "precision_weighted": reference.precision_score(labels, predicted, **weighted),
        "f1_weighted": reference.f1_score(labels, predicted, **weighted),
        "top_3": reference.top_k_accuracy_score(labels, probabilities, k=3) if n_classes > 3 else np.nan,
        "top_5": reference.top_k_accuracy_score(labels, probabilities, k=5) if n_classes > 5 else np.nan,
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 6), st.integers(60, 120))
def test_every_metric_equals_scikit_learn(seed, n_classes, n):
    labels, probabilities = case(n, n_classes, 1.0, seed)
    labels[:n_classes] = np.arange(n_classes)
    scores = metrics.scores(labels, probabilities)
    assert scores == pytest.approx(twins(labels, probabilities), nan_ok=True)
    core = metrics.core_scores(labels, probabilities)
    assert core == {name: scores[name] for name in core}
    one_hot = label_binarize(labels, classes=range(n_classes))
    alone = reference.average_precision_score(one_hot, probabilities, average=None)
    assert by_class.per_class(metrics.outcome(labels, probabilities))["average_precision"] == pytest.approx(alone)


def test_no_metric_is_another_under_a_second_name():
    """With one label a sample, micro averages and weighted recall are the accuracy, and macro recall is balanced."""
    seen = np.array([list(metrics.scores(*case(n_classes=7, seed=seed)).values()) for seed in range(3)])
    assert len(np.unique(seen.round(9), axis=1).T) == len(metrics.METRICS)


@pytest.mark.parametrize("metric", metrics.METRICS.values(), ids=metrics.METRICS)
def test_a_metric_says_its_direction_its_range_and_one_way_to_be_resampled(metric):
    labels = np.arange(60) % 6
    right, wrong = np.eye(6)[labels], np.eye(6)[(labels + 1) % 6]
    (best,), (worst,) = (metrics.scores(labels, table, [metric.name]).values() for table in (right, wrong))
    assert (best > worst) == metric.higher_is_better
    assert not metric.share or 0 <= worst < best <= 1
    assert sum(way is not None for way in (metric.of_samples, metric.of_counts, metric.of_ranks)) == 1
    assert metric.text(0.5) == ("50.00" if metric.share else "0.5000")


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
    assert scores["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert all(np.isfinite(value) for name, value in scores.items() if not name.startswith("top_"))
    columns = by_class.per_class(metrics.outcome(labels, probabilities))
    last = {name: column[2] for name, column in columns.items()}
    assert last == {"support": 0, "precision": 0.0, "recall": None, "f1": 0.0, "average_precision": None}


def test_the_classes_and_the_confusion_matrix_add_up():
    labels, probabilities = case()
    found = metrics.outcome(labels, probabilities)
    columns, cells = by_class.per_class(found), by_class.confusion(found)
    matrix = np.zeros((4, 4), int)
    matrix[cells["true"], cells["predicted"]] = cells["count"]
    assert matrix.tolist() == reference.confusion_matrix(labels, probabilities.argmax(axis=1)).tolist()
    assert 0 not in cells["count"]
    assert columns["support"] == matrix.sum(axis=1).tolist()
    known = {"average": None, "zero_division": np.nan}
    each = reference.precision_recall_fscore_support(labels, probabilities.argmax(axis=1), **known)
    assert np.array([columns[name] for name in ("precision", "recall", "f1")]) == pytest.approx(np.array(each[:3]))


@pytest.mark.filterwarnings("error")
def test_one_class_that_is_always_right_is_scored_without_a_complaint():
    scores = metrics.scores(np.zeros(5, np.int64), np.tile([0.9, 0.1], (5, 1)))
    assert (scores["accuracy"], scores["f1"], scores["map"]) == (1, 1, 1)
    assert np.isnan([scores["kappa"], scores["roc_auc"]]).all()


def test_no_sample_has_no_score():
    labels, probabilities = np.empty(0, np.int64), np.empty((0, 3))
    assert np.isnan(list(metrics.scores(labels, probabilities).values())).all()
    assert np.isnan(list(metrics.core_scores(labels, probabilities).values())).all()
    found = metrics.outcome(labels, probabilities)
    assert by_class.per_class(found) == {}
    assert by_class.confusion(found) == {"true": [], "predicted": [], "count": []}
