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


def scored(labels, resamples, seed, **tables):
    outcomes = {name: metrics.outcome(labels, table) for name, table in tables.items()}
    return Bootstrap(labels, resamples, seed).scored(outcomes)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([1, 2, 17]))
def test_scores_of_counts_are_scikit_learns_on_the_drawn_rows(seed, n_classes, decimals):
    labels, probabilities = case(90, n_classes, 1.0, seed)
    probabilities = np.round(probabilities + 1e-3, decimals)  # few decimals: many equal scores
    probabilities += np.where(np.arange(n_classes) == 0, 1 - probabilities.sum(axis=1, keepdims=True), 0)
    probabilities = np.clip(probabilities, 0, None)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    drawn = scored(labels, 3, seed, a=probabilities)["a"].drawn
    counts = np.concatenate(list(Bootstrap(labels, 3, seed)._counts()), axis=1)
    assert counts.sum(axis=0).tolist() == [90, 90, 90]
    for resample in range(3):
        rows = np.repeat(np.arange(90), counts[:, resample].astype(int))
        expected = metrics.scores(labels[rows], probabilities[rows])
        found = {name: values[resample] for name, values in drawn.items()}
        assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-9, nan_ok=True)
        left = {name for name, value in expected.items() if np.isfinite(value)} - set(found)
        assert left == {"map", "roc_auc"}, "ranked scores are not resampled"


def test_always_the_same_answer_scores_as_scikit_learn_says():
    labels, _ = case(40, 3)
    constant = np.tile([0.6, 0.3, 0.1], (40, 1))
    drawn = scored(labels, 5, 0, a=constant)["a"].drawn
    counts = np.concatenate(list(Bootstrap(labels, 5, 0)._counts()), axis=1)
    for resample in range(5):
        rows = np.repeat(np.arange(40), counts[:, resample].astype(int))
        expected = metrics.scores(labels[rows], constant[rows])
        assert {n: values[resample] for n, values in drawn.items()} == pytest.approx({n: expected[n] for n in drawn})


def test_pieces_change_nothing_but_the_draws(monkeypatch):
    labels, probabilities = case(n=50)
    whole = scored(labels, 400, 0, a=probabilities)["a"].drawn
    monkeypatch.setattr(bootstrap, "CHUNK_CELLS", 50 * 60)
    pieces = scored(labels, 400, 0, a=probabilities)["a"].drawn
    assert {name: len(values) for name, values in pieces.items()} == {n: len(v) for n, v in whole.items()}
    assert np.array_equal(whole["accuracy"][:60], pieces["accuracy"][:60])
    assert pieces["accuracy"].std() == pytest.approx(whole["accuracy"].std(), rel=0.2)


def test_the_interval_equals_a_plain_bootstrap_of_rows():
    labels, probabilities = case(n=200)
    hits = (probabilities.argmax(axis=1) == labels).astype(float)
    slow = stats.bootstrap((hits,), np.mean, n_resamples=10_000, method="percentile", rng=0).confidence_interval
    found = scored(labels, 10_000, 0, a=probabilities)["a"].intervals()
    assert found["accuracy"] == pytest.approx([slow.low, slow.high], abs=0.006)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "map"])
def test_the_paired_difference_equals_a_plain_bootstrap_of_rows(metric):
    labels, first = case(n=250, strength=1.5)
    second = noisy_probabilities(labels, 4, 1.0, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    slow = []
    for _ in range(300):
        rows = rng.integers(250, size=250)
        slow.append(SCORES[metric](labels[rows], first[rows]) - SCORES[metric](labels[rows], second[rows]))
    one, other = scored(labels, 4000, 0, a=first, b=second).values()
    found = bootstrap.difference(one, other, metric)
    assert found["difference"] == pytest.approx(one.scores[metric] - other.scores[metric])
    reach = np.std(slow) * 1.96
    assert found["high"] - found["low"] == pytest.approx(2 * reach, rel=0.2)
    assert found["low"] < found["difference"] < found["high"]


def test_a_contender_does_not_differ_from_itself():
    labels, probabilities = case()
    one, other = scored(labels, 300, 0, a=probabilities, b=probabilities.copy()).values()
    for metric in {**one.drawn, **one.influence}:
        found = bootstrap.difference(one, other, metric)
        assert found == {"difference": 0.0, "low": 0.0, "high": 0.0}, metric


@pytest.mark.parametrize("metric", ["log_loss", "map", "roc_auc"])
def test_paired_differences_are_narrower_than_what_two_intervals_suggest(metric):
    labels, first = case(n=400, strength=1.5)
    second = 0.9 * first + 0.1 * noisy_probabilities(labels, 4, 1.0, np.random.default_rng(1))
    one, other = scored(labels, 1000, 0, a=first, b=second).values()
    paired = bootstrap.difference(one, other, metric)
    alone = [each.intervals()[metric] for each in (one, other)]
    assert paired["high"] - paired["low"] < 0.3 * sum(high - low for low, high in alone)
    elsewhere = scored(labels, 1000, 1, b=second)["b"]
    apart = bootstrap.difference(one, elsewhere, metric)
    assert apart["high"] - apart["low"] > 2 * (paired["high"] - paired["low"]), "of another source: not paired"


def test_no_sample_gives_no_interval():
    found = scored(np.empty(0, np.int64), 100, 0, a=np.empty((0, 3)))["a"]
    assert found.intervals() == {}
    assert np.isnan(bootstrap.difference(found, found, "accuracy")["low"])
