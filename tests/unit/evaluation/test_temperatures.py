"""foldstack.evaluation.temperatures: what the search of `probabilities.temperature` finds, with each fold left out."""

import numpy as np
import pytest
from fake_runs import noisy_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack import probabilities
from foldstack.evaluation.temperatures import temperatures
from foldstack.probabilities import HIGHEST, LOWEST, temperature, with_temperature


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 6), sharpness=st.sampled_from([0.1, 0.5, 1, 2, 10]))
def test_it_is_what_the_search_finds(seed, n_classes, sharpness):
    rng = np.random.default_rng(seed)
    labels, folds = rng.integers(n_classes, size=200), rng.permutation(np.arange(200) % 4)
    table = with_temperature(noisy_probabilities(labels, n_classes, 1.5, rng), 1 / sharpness)
    whole, others = temperatures(labels, table, folds)
    assert np.log(whole) == pytest.approx(np.log(temperature(labels, table)), abs=1e-4)
    expected = [np.log(temperature(labels[folds != k], table[folds != k])) for k in range(4)]
    assert np.log(others) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("right", "end"), [(True, LOWEST), (False, HIGHEST)])
def test_always_right_or_always_wrong_ends_at_the_limits(right, end):
    labels, folds = np.arange(30) % 3, np.arange(30) % 5
    table = np.where(np.arange(3) == (labels if right else (labels + 1) % 3)[:, None], 0.8, 0.1)
    whole, others = temperatures(labels, table, folds)
    assert [whole, *others] == pytest.approx([end] * 6)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    labels, folds = rng.integers(3, size=100), np.arange(100) % 4
    table = noisy_probabilities(labels, 3, 1.0, rng)
    whole = temperatures(labels, table, folds)
    monkeypatch.setattr(probabilities, "BLOCK_CELLS", 30)
    pieces = temperatures(labels, table, folds)
    assert pieces[0] == pytest.approx(whole[0])
    assert pieces[1] == pytest.approx(whole[1])
