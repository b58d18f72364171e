"""foldstack.evaluation.bootstrap: scores of counts are those of the drawn rows; intervals are a plain bootstrap's."""

import numpy as np
import pytest
from fake_runs import noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score

from foldstack.evaluation import bootstrap, metrics
from foldstack.evaluation.bootstrap import Bootstrap

SCORES = {
    "accuracy": lambda labels, values: np.mean(values.argmax(axis=1) == labels),
    "log_loss": lambda labels, values: -np.log(values[np.arange(len(labels)), labels]).mean(),
    "map": lambda labels, values: np.mean([average_precision_score(labels == i, values[:, i]) for i in range(4)]),
}


def case(n=80, n_classes=4, strength=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    return labels, noisy_probabilities(labels, n_classes, strength, rng)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([1, 2, 17]))
def test_scores_of_counts_are_scikit_learns_on_the_drawn_rows(seed, n_classes, decimals):
    labels, probabilities = case(90, n_classes, 1.0, seed)
    probabilities = np.round(probabilities + 1e-3, decimals)  # few decimals: many equal scores
    probabilities += np.where(np.arange(n_classes) == 0, 1 - probabilities.sum(axis=1, keepdims=True), 0)
    probabilities = np.clip(probabilities, 0, None)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    drawn = Bootstrap(labels, 3, seed).scores({"a": probabilities})["a"]
    counts = np.concatenate(list(Bootstrap(labels, 3, seed)._counts()), axis=1)
    assert counts.sum(axis=0).tolist() == [90, 90, 90]
    for resample in range(3):
        rows = np.repeat(np.arange(90), counts[:, resample].astype(int))
        expected = metrics.scores(labels[rows], probabilities[rows])
        found = {name: values[resample] for name, values in drawn.items()}
        assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-9, nan_ok=True)
        assert {name for name, value in expected.items() if np.isfinite(value)} <= set(found)


def test_always_the_same_answer_scores_as_scikit_learn_says():
    labels, _ = case(40, 3)
    constant = np.tile([0.6, 0.3, 0.1], (40, 1))
    drawn = Bootstrap(labels, 5, 0).scores({"a": constant})["a"]
    counts = np.concatenate(list(Bootstrap(labels, 5, 0)._counts()), axis=1)
    for resample in range(5):
        rows = np.repeat(np.arange(40), counts[:, resample].astype(int))
        expected = metrics.scores(labels[rows], constant[rows])
        assert {n: values[resample] for n, values in drawn.items()} == pytest.approx({n: expected[n] for n in drawn})


def test_pieces_change_nothing_but_the_draws(monkeypatch):
    labels, probabilities = case(n=50)
    whole = Bootstrap(labels, 400, 0).scores({"a": probabilities})["a"]
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 50 * 60)
    pieces = Bootstrap(labels, 400, 0).scores({"a": probabilities})["a"]
    assert {name: len(values) for name, values in pieces.items()} == {n: len(v) for n, v in whole.items()}
    assert len(whole["map"]) == bootstrap.RANKED_RESAMPLES
    assert np.array_equal(whole["accuracy"][:60], pieces["accuracy"][:60])
    assert pieces["accuracy"].std() == pytest.approx(whole["accuracy"].std(), rel=0.2)


def test_the_interval_equals_a_plain_bootstrap_of_rows():
    labels, probabilities = case(n=200)
    hits = (probabilities.argmax(axis=1) == labels).astype(float)
    slow = stats.bootstrap((hits,), np.mean, n_resamples=10_000, method="percentile", rng=0).confidence_interval
    drawn = Bootstrap(labels, 10_000, 0).scores({"a": probabilities}, ranked=False)["a"]
    found = bootstrap.intervals(metrics.scores(labels, probabilities), drawn)
    assert found["accuracy"] == pytest.approx([slow.low, slow.high], abs=0.006)
    assert "map" not in found


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "map"])
def test_the_paired_difference_equals_a_plain_bootstrap_of_rows(metric):
    labels, first = case(n=250, strength=1.5)
    second = noisy_probabilities(labels, 4, 1.0, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    slow = []
    for _ in range(300):
        rows = rng.integers(250, size=250)
        slow.append(SCORES[metric](labels[rows], first[rows]) - SCORES[metric](labels[rows], second[rows]))
    drawn = Bootstrap(labels, 4000, 0).scores({"a": first, "b": second})
    scores = metrics.scores(labels, first), metrics.scores(labels, second)
    found = bootstrap.difference(*scores, drawn["a"], drawn["b"], metric)
    assert found["difference"] == pytest.approx(scores[0][metric] - scores[1][metric])
    reach = np.std(slow) * 1.96
    assert found["high"] - found["low"] == pytest.approx(2 * reach, rel=0.2)
    assert found["low"] < found["difference"] < found["high"]


def test_a_contender_does_not_differ_from_itself():
    labels, probabilities = case()
    scores = metrics.scores(labels, probabilities)
    drawn = Bootstrap(labels, 300, 0).scores({"a": probabilities, "b": probabilities.copy()})
    for metric in drawn["a"]:
        found = bootstrap.difference(scores, scores, drawn["a"], drawn["b"], metric)
        assert found == {"difference": 0.0, "low": 0.0, "high": 0.0}, metric


def test_paired_differences_are_narrower_than_what_two_intervals_suggest():
    labels, first = case(n=400, strength=1.5)
    second = 0.9 * first + 0.1 * noisy_probabilities(labels, 4, 1.0, np.random.default_rng(1))
    drawn = Bootstrap(labels, 1000, 0).scores({"a": first, "b": second}, ranked=False)
    scores = metrics.scores(labels, first), metrics.scores(labels, second)
    paired = bootstrap.difference(*scores, drawn["a"], drawn["b"], "log_loss")
    alone = [bootstrap.intervals(s, drawn[name])["log_loss"] for s, name in zip(scores, "ab", strict=True)]
    assert paired["high"] - paired["low"] < 0.3 * sum(high - low for low, high in alone)


def test_no_sample_gives_no_interval():
    drawn = Bootstrap(np.empty(0, np.int64), 100, 0).scores({"a": np.empty((0, 3))})["a"]
    scores = metrics.scores(np.empty(0, np.int64), np.empty((0, 3)))
    assert bootstrap.intervals(scores, drawn) == {}
    assert np.isnan(bootstrap.difference(scores, scores, drawn, drawn, "accuracy")["low"])


def test_intervals_of_ranked_scores_are_left_out_where_they_would_take_too_long(monkeypatch):
    labels, probabilities = case()
    monkeypatch.setattr(bootstrap, "RANKED_CELLS", 100)
    assert "map" not in Bootstrap(labels, 100, 0).scores({"a": probabilities})["a"]
