"""foldstack.evaluation.leakcheck: what the shuffle keeps, chance against brute force, planted leaks that are seen."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from foldstack.errors import FoldstackError
from foldstack.evaluation.leakcheck import against_chance, judge, shuffle_labels


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 5), st.integers(10, 80))
def test_single_samples_are_permuted_and_copies_keep_one_label(seed, n_classes, n):
    labels = np.random.default_rng(seed).integers(0, n_classes, n)
    alone = shuffle_labels(labels, np.arange(n), seed)
    assert np.array_equal(np.sort(alone), np.sort(labels))
    pairs = np.random.default_rng(seed + 1).permutation(np.repeat(np.arange(n), 2))
    doubled = shuffle_labels(labels[pairs], pairs, seed)
    assert (pd.Series(doubled).groupby(pairs).nunique() == 1).all()
    assert np.array_equal(np.sort(doubled), np.sort(labels[pairs]))


def test_the_shuffle_leaves_nothing_of_the_labels():
    labels = np.repeat(np.arange(4), 500)
    shuffled = shuffle_labels(labels, np.arange(2000), 0)
    table = pd.crosstab(labels, shuffled)
    assert table.to_numpy().min() > 90
    assert not np.array_equal(shuffled, shuffle_labels(labels, np.arange(2000), 1))


def test_chance_and_its_interval_equal_brute_force():
    """Against the accuracies of the same predictions with the labels permuted within the folds, 4,000 times."""
    rng = np.random.default_rng(0)
    folds, labels = np.arange(600) % 3, rng.choice(3, 600, p=[0.6, 0.3, 0.1])
    predicted = rng.choice(3, 600, p=[0.8, 0.1, 0.1])
    found = against_chance(labels, predicted, folds, np.arange(600))
    drawn = []
    for _ in range(4000):
        again = labels.copy()
        for fold in range(3):
            again[folds == fold] = rng.permutation(labels[folds == fold])
        drawn.append(np.mean(again == predicted))
    assert found["chance"] == pytest.approx(np.mean(drawn), abs=0.001)
    assert (found["high"] - found["chance"]) / 3.29 == pytest.approx(np.std(drawn), rel=0.05)
    assert found["accuracy"] == np.mean(labels == predicted)


def test_a_majority_vote_is_chance_however_rare_the_other_classes():
    labels = np.array([0] * 95 + [1] * 5)
    found = against_chance(labels, np.zeros(100, int), np.arange(100) % 5, np.arange(100))
    assert found["accuracy"] == pytest.approx(found["chance"]) == 0.95
    judge({"mean": found})


def nearest_neighbour(images, labels, folds):
    """Out-of-fold predictions of the method that remembers best."""
    predicted = np.empty_like(labels)
    for fold in np.unique(folds):
        rest = folds != fold
        predicted[~rest] = KNeighborsClassifier(1).fit(images[rest], labels[rest]).predict(images[~rest])
    return predicted


@pytest.fixture(scope="module")
def oversampled():
    """300 digits, 60 of them twice; shuffled labels that copies share; the number of each one's set."""
    copies = np.r_[np.arange(300), np.arange(60)]
    data = load_digits()
    return data.data[copies], shuffle_labels(data.target[copies], copies, 0), copies


def test_copies_kept_in_one_fold_score_at_chance(oversampled):
    images, labels, sets = oversampled
    folds = sets % 5
    judge({"nearest": against_chance(labels, nearest_neighbour(images, labels, folds), folds, sets)})


def test_copies_across_folds_are_seen(oversampled):
    images, labels, sets = oversampled
    folds = np.r_[np.arange(300) % 5, (np.arange(60) + 1) % 5]
    found = against_chance(labels, nearest_neighbour(images, labels, folds), folds, sets)
    with pytest.raises(FoldstackError, match=r"shuffled labels nearest scores 40.0 % out of fold, while chance is 1"):
        judge({"nearest": found, "guess": against_chance(labels, np.roll(labels, 7), folds, sets)})


def test_early_stopping_on_the_scored_fold_is_seen():
    """The best of 200 guesses at each fold, chosen by looking at its labels."""
    rng = np.random.default_rng(0)
    labels, folds = rng.integers(0, 2, 400), np.arange(400) % 2
    guesses = rng.integers(0, 2, (200, 400))
    predicted = np.empty(400, int)
    for fold in (0, 1):
        rows = folds == fold
        predicted[rows] = guesses[(guesses[:, rows] == labels[rows]).mean(axis=1).argmax(), rows]
    judge({"one guess": against_chance(labels, guesses[0], folds, np.arange(400))})
    with pytest.raises(FoldstackError, match="There is a leak"):
        judge({"chosen": against_chance(labels, predicted, folds, np.arange(400))})
