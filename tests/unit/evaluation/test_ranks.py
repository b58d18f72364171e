"""foldstack.evaluation.ranks: figures are scikit-learn's, their errors those of a bootstrap and of a derivative."""

import numpy as np
import pytest
from fake_runs import noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from foldstack.evaluation import metrics, ranks

FIGURES = {
    "map": (ranks.average_precision, average_precision_score),
    "roc_auc": (ranks.roc_auc, roc_auc_score),
}


@pytest.mark.parametrize("name", FIGURES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60), levels=st.sampled_from([1, 3, 1000]))
def test_the_figure_is_scikit_learns_and_the_influence_its_derivative(name, seed, n, levels):
    """When sample i has the weight 1 + h, the figure moves by h * psi(i) / N."""
    rng = np.random.default_rng(seed)
    positive, scores = rng.random(n) < 0.4, rng.integers(levels, size=n) / levels
    positive[0] = True
    positive[1] = False
    ours, reference = FIGURES[name]
    value, influence = ours(ranks.ranks(positive, scores))
    assert value == pytest.approx(reference(positive, scores))
    for i in rng.permutation(n)[:5]:
        weights, h = np.ones(n), 1e-5
        weights[i] += h
        moved = reference(positive, scores, sample_weight=weights)
        assert influence[i] == pytest.approx((moved - value) / h * n, rel=1e-3, abs=1e-4)
    assert influence.mean() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(("n_classes", "n"), [(2, 500), (5, 600), (20, 1000)])
def test_the_standard_error_is_that_of_a_bootstrap(name, n_classes, n):
    rng = np.random.default_rng(n)
    labels = rng.integers(n_classes, size=n)
    probabilities = noisy_probabilities(labels, n_classes, 2.0, rng)
    drawn = []
    for _ in range(400):
        rows = rng.integers(n, size=n)
        drawn.append(metrics.scores(labels[rows], probabilities[rows], [name])[name])
    influence = metrics.outcome(labels, probabilities, [name]).influence[name]
    error = np.sqrt(np.square(influence).sum()) / n
    assert error == pytest.approx(np.std(drawn), rel=0.12)  # that of 400 resamples is itself known to 3.5 %


def test_a_class_of_all_samples_has_no_roc_auc():
    value, influence = ranks.roc_auc(ranks.ranks(np.ones(4, bool), np.arange(4.0)))
    assert np.isnan(value)
    assert not influence.any()
