"""training.batches: no pass of a single sample, and the batches of every other run as they were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from training_inputs import train, write_inputs

from foldstack.errors import FoldstackError
from foldstack.training import batches

SETTINGS = {
    "n": st.integers(2, 400),
    "batch_size": st.integers(1, 40),
    "accumulate": st.integers(1, 9),
    "world_size": st.integers(1, 8),
}


def passes(n, batch_size, accumulate, world_size, ranks) -> list[int]:
    """Samples of every pass of an epoch, cut as the loop and its steps cut them."""
    steps = batches.steps_per_epoch(n, batch_size, accumulate, world_size)
    found = []
    for batch in np.array_split(np.arange(n), steps):
        size = batches.part_size(len(batch), batch_size, accumulate, world_size)
        for rank in range(ranks):
            shard = batch[rank::ranks]
            shard = shard if len(shard) else batch[:2]
            found += [len(part) for part in np.array_split(shard, batches.parts(len(shard), size))]
    return found


def passes_before(n, batch_size, accumulate, world_size) -> tuple[int, list[int]]:
    """Steps and passes as they were when a pass could be of one sample."""
    steps = max(1, round(n / (batch_size * accumulate * world_size)))
    found = []
    for batch in np.array_split(np.arange(n), steps):
        size = -(-len(batch) // (world_size * accumulate))
        for rank in range(world_size):
            shard = batch[rank::world_size]
            shard = shard if len(shard) else batch[:1]
            found += [len(part) for part in np.array_split(shard, -(-len(shard) // size))]
    return steps, found


@settings(max_examples=600, deadline=None)
@given(**SETTINGS)
def test_no_pass_is_of_one_sample_where_there_are_enough(n, batch_size, accumulate, world_size):
    smallest = min(passes(n, batch_size, accumulate, world_size, world_size))
    assert smallest == batches.smallest_part(n, batch_size, accumulate, world_size, world_size)
    if batch_size > 1 and n >= 2 * world_size:
        assert smallest > 1


@settings(max_examples=600, deadline=None)
@given(**SETTINGS)
def test_whatever_had_no_pass_of_one_sample_stays(n, batch_size, accumulate, world_size):
    how = n, batch_size, accumulate, world_size
    steps, before = passes_before(*how)
    if min(before) > 1 or batch_size == 1:
        assert batches.steps_per_epoch(*how) == steps
    if min(before) > 1:
        assert passes(*how, world_size) == before


@settings(max_examples=300, deadline=None)
@given(ranks=st.integers(1, 8), **SETTINGS)
def test_a_run_that_goes_on_with_other_ranks_is_counted_too(ranks, n, batch_size, accumulate, world_size):
    how = n, batch_size, accumulate, world_size, ranks
    assert min(passes(*how)) == batches.smallest_part(*how)


@given(shard=st.integers(1, 200), size=st.integers(1, 64))
def test_parts_are_no_larger_than_memory_allows_but_for_three_in_place_of_two_and_one(shard, size):
    cut = [len(part) for part in np.array_split(np.arange(shard), batches.parts(shard, size))]
    assert max(cut) <= size or (size, max(cut)) == (2, 3)


NORMALISED = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize(
    ("config", "n", "gpus", "words"),
    [
        ({"batch_size": 1, "accumulate": 1}, 40, 1, "set batch_size to 2 or more"),
        ({"batch_size": 1, "accumulate": 8}, 40, 1, "lower accumulate instead"),
        ({"batch_size": 16, "accumulate": 1}, 7, 4, "7 training samples are too few for 4 GPUs: lower gpus"),
    ],
)
def test_what_batch_normalisation_cannot_learn_from_is_refused(config, n, gpus, words):
    with pytest.raises(FoldstackError, match=words):
        batches.check_normalisation("Model m", NORMALISED, n, config, gpus, gpus)
    batches.check_normalisation("Model m", nn.Linear(4, 2), n, config, gpus, gpus)
    batches.check_normalisation("Model m", NORMALISED, 40, {"batch_size": 2, "accumulate": 8}, 1, 1)


def test_a_run_is_refused_before_it_trains_or_ends(tmp_path):
    """32 px, so that the last layers see one pixel; 11 samples at 2 made a batch of one."""
    inputs = write_inputs(tmp_path)
    with pytest.raises(FoldstackError, match="batch normalisation, which cannot learn from one sample at a time"):
        train(inputs, tmp_path / "one", batch_size=1)
    trained = train(inputs, tmp_path / "two", batch_size=2, accumulate=8, epochs=1)
    assert trained["run"].exists()
