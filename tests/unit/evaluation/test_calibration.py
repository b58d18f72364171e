"""foldstack.evaluation.calibration: bins against scikit-learn, cross-fitting, thresholds that keep their word."""

import numpy as np
import pytest
from fake_runs import noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from foldstack.evaluation import calibration
from foldstack.probabilities import temperature, with_temperature

NONE = {"precision": None, "recall": None}


def case(n=400, n_classes=3, strength=1.5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    return labels, noisy_probabilities(labels, n_classes, strength, rng), rng.permutation(np.arange(n) % 5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_the_bins_are_scikit_learns(seed, n_classes):
    labels, probabilities, _ = case(200, n_classes, 1.0, seed)
    found = calibration.reliability(labels, probabilities)
    hit, confidence = probabilities.argmax(axis=1) == labels, probabilities.max(axis=1)
    accuracy, mean_confidence = calibration_curve(hit, confidence, n_bins=calibration.BINS)
    assert [each["accuracy"] for each in found["bins"]] == pytest.approx(accuracy.tolist())
    assert [each["confidence"] for each in found["bins"]] == pytest.approx(mean_confidence.tolist())
    weights = np.array([each["samples"] for each in found["bins"]]) / len(labels)
    assert found["ece"] == pytest.approx(weights @ np.abs(accuracy - mean_confidence))
    assert found["brier"] == pytest.approx(reference.brier_score_loss(labels, probabilities, labels=range(n_classes)))
    assert found["log_loss"] == pytest.approx(reference.log_loss(labels, probabilities, labels=range(n_classes)))


def test_perfect_calibration_has_no_error_and_full_confidence_has_all():
    labels = np.repeat([0, 1], [80, 20])
    honest = np.tile([0.8, 0.2], (100, 1))
    assert calibration.reliability(labels, honest)["ece"] == pytest.approx(0)
    assert calibration.reliability(labels, np.tile([1.0, 0.0], (100, 1)))["ece"] == pytest.approx(0.2)


def test_a_known_temperature_is_found_and_undone():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([0.5] * 3, size=20_000)
    labels = (rng.random((len(honest), 1)) > honest.cumsum(axis=1)).sum(axis=1).clip(max=2)
    sure = with_temperature(honest, 0.5)
    assert temperature(labels, sure) == pytest.approx(2, abs=0.1)
    folds = np.arange(len(labels)) % 5
    found = calibration.before_and_after(labels, sure, folds, labels[:0], sure[:0])
    assert found["oof"]["before"]["ece"] > 0.05
    assert found["oof"]["after"]["ece"] < 0.015
    assert np.isnan(found["test"]["before"]["ece"])


def test_the_temperature_of_a_fold_never_sees_its_labels():
    labels, probabilities, folds = case()
    changed = np.where(folds == 2, (labels + 1) % 3, labels)
    seen = []
    for truth in (labels, changed):
        values = [temperature(truth[folds != k], probabilities[folds != k]) for k in range(5)]
        found = calibration.before_and_after(truth, probabilities, folds, truth, probabilities)
        cooled = np.empty_like(probabilities)
        for k, value in enumerate(values):
            cooled[folds == k] = with_temperature(probabilities[folds == k], value)
        expected = calibration.reliability(truth, cooled)
        for key in ("ece", "brier", "log_loss"):
            assert found["oof"]["after"][key] == pytest.approx(expected[key], abs=1e-6)
        seen.append(values)
    assert seen[0][2] == seen[1][2]
    assert seen[0][1] != seen[1][1]


@pytest.mark.parametrize(("metric", "other"), [("precision", "recall"), ("recall", "precision")])
@pytest.mark.parametrize("target", [0.6, 0.8, 0.95])
def test_a_threshold_reaches_its_target_at_the_highest_other(metric, other, target):
    labels, probabilities, _ = case(100)
    rows = calibration.thresholds(labels, probabilities, labels, probabilities, "abc", NONE | {metric: target})
    for i, row in enumerate(rows):
        tried = {}
        for value in probabilities[:, i]:
            chosen = probabilities[:, i] >= value
            tried[value] = {
                "precision": reference.precision_score(labels == i, chosen),
                "recall": reference.recall_score(labels == i, chosen),
            }
        reached = [each[other] for each in tried.values() if each[metric] >= target]
        found = tried[row["threshold"]]
        assert found[metric] >= target
        assert found[other] == max(reached)
        assert {key: row["oof"][key] for key in found} == pytest.approx(found)
        assert row["oof"] == row["test"]


def test_a_precision_out_of_reach_and_a_class_without_samples_have_no_threshold():
    labels = np.array([0, 1, 0, 1])
    probabilities = np.array([[0.2, 0.8, 0]] * 4)
    rows = calibration.thresholds(
        labels, probabilities, labels, probabilities, "abc", {"precision": 0.9, "recall": None}
    )
    assert [row["threshold"] for row in rows] == [None] * 3
    assert rows[0]["test"] == {"precision": None, "recall": None, "chosen": None}


def test_without_a_target_there_are_no_thresholds():
    labels, probabilities, _ = case(50)
    assert calibration.thresholds(labels, probabilities, labels, probabilities, "abc", NONE) == []
