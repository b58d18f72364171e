"""foldstack.export.agreement: what every gate measures, and when it refuses a file."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstack.errors import FoldstackError
from foldstack.export import agreement


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_difference_that_is_not_a_number_fails(wrong):
    found = agreement.difference(np.array([0.1, wrong]), np.array([0.1, 0.2]))
    assert found == float("inf")
    with pytest.raises(
        FoldstackError, match=r"x\.onnx does not agree with torch: its probabilities differ by up to inf"
    ):
        agreement.require("x.onnx", "torch", "probabilities", found, 1e-4)


def test_a_flip_counts_but_a_tie_does_not():
    expected = np.array([[0.5, 0.5], [0.50002, 0.49998], [0.9, 0.1]])
    found = np.array([[0.5 - 1e-8, 0.5 + 1e-8], [0.49999, 0.50001], [0.9, 0.1]])
    assert agreement.flips(found, expected) == 1
    with pytest.raises(FoldstackError, match="1 labels flip"):
        agreement.require("x.onnx", "torch", "probabilities", 3e-5, 1e-4, 1)
    agreement.require("x.onnx", "torch", "probabilities", 1e-4, 1e-4)


@given(st.integers(1, 2000), st.integers(1, 300))
def test_rows_are_spread_from_the_first_to_the_last_at_even_steps(rows, count):
    chosen = agreement.spread(rows, count)
    assert len(chosen) == min(rows, count)
    assert chosen[0] == 0
    assert count == 1 or chosen[-1] == rows - 1
    assert np.ptp(np.diff(chosen)) <= 1 if len(chosen) > 1 else True


def test_of_no_row_none_is_chosen():
    assert agreement.spread(0, 5).tolist() == []


@pytest.mark.parametrize(("count", "size"), [(1, 1), (4, 4), (10, 10), (256, 10)])
def test_samples_are_spread_over_the_test_split(count, size):
    ids = [f"s{i:02d}" for i in range(30)]
    samples = pd.DataFrame({"sample_id": ids, "split": ["train"] * 20 + ["test"] * 10}).sample(frac=1, random_state=1)
    chosen = agreement.choose_samples(samples, count, pd.DataFrame())
    assert len(chosen) == size
    assert chosen["sample_id"].is_monotonic_increasing
    assert (chosen["split"] == "test").all()
    assert chosen["sample_id"].is_unique


IMAGES = np.arange(3 * 4, dtype=np.uint8).reshape(3, 4)


def test_rows_that_do_not_depend_on_their_batch_pass_and_few_images_are_repeated():
    sizes = []

    def run(images):
        sizes.append(len(images))
        return images[:, :2] / 255

    assert agreement.check_batches("x.onnx", run, IMAGES) == 0
    assert sizes == [1] * 7 + [1, 2, 7]


def test_rows_that_depend_on_their_batch_are_refused_or_measured():
    def run(images):
        return images / 255 + 0.01 * (len(images) - 1)

    with pytest.raises(FoldstackError, match=r"x\.onnx is wrong at a batch of 2: a row differs by up to 0\.01"):
        agreement.check_batches("x.onnx", run, IMAGES)
    assert agreement.check_batches("x.onnx", run, IMAGES, tolerance=np.inf) == pytest.approx(0.06)


def test_a_batch_of_another_shape_is_refused_whatever_is_tolerated():
    with pytest.raises(FoldstackError, match=r"batch of 7: its outputs have the shape \(2, 4\)"):
        agreement.check_batches("x.onnx", lambda images: images[:2], IMAGES, tolerance=np.inf)


def test_training_samples_of_every_fold_are_chosen():
    ids = [f"s{i:02d}" for i in range(30)]
    samples = pd.DataFrame({"sample_id": ids, "split": "train"})
    folds = pd.DataFrame({"sample_id": ids, "fold": [0] * 13 + [1] + [0] * 15 + [2]})
    assert {"s13", "s29"} <= set(agreement.choose_samples(samples, 1, folds)["sample_id"])
