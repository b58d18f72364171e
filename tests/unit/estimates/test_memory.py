"""foldstack.estimates.memory and experiment: what jobs ask for, and which batch fits a GPU."""

import dataclasses

import pytest

from foldstack.config import resolve as configuration
from foldstack.estimates import memory, words
from foldstack.estimates.experiment import RUN_MEMORY, RUN_MINUTES, Estimates

SIZES = memory.Sizes(train=100_000, test=10_000, classes=200, models=5, members=5, splits=5, pixel=12_288)
RECORD = {"state_bytes": 100e6, "trained_parameters": 25e6, "activation_bytes_per_sample": 20e6, "graph_bytes": 0}
RECORD |= {"flops": 4e9}
BLOCK = {"batch_size": 64, "optimizer": "adamw", "ema_decay": None, "precision": "float32", "epochs": 1, "threads": 1}


@pytest.mark.parametrize("rule", ["prepare_data", "assign_folds", "collect_oof", "fit_stacker", "evaluate"])
@pytest.mark.parametrize("more", [{"train": 1_000_000}, {"classes": 1000}])
def test_more_samples_or_classes_never_need_less(rule, more):
    assert memory.of_rule(rule, dataclasses.replace(SIZES, **more)) >= memory.of_rule(rule, SIZES)


def test_a_gpu_holds_weights_gradients_optimizer_and_the_activations_of_a_batch():
    taken = memory.of_gpu(BLOCK, RECORD) - memory.of_gpu(BLOCK, RECORD, batch=32)
    assert taken == pytest.approx(memory.BACKWARD * 32 * 20e6 / memory.MIB)
    weights = memory.of_gpu(BLOCK, RECORD, batch=0) - memory.CUDA
    assert weights == pytest.approx((100e6 + 25e6 * 4 * 3) / memory.MIB)
    assert memory.of_gpu(BLOCK | {"optimizer": "sgd"}, RECORD) < memory.of_gpu(BLOCK, RECORD)
    assert memory.of_gpu(BLOCK | {"precision": "auto"}, RECORD) < memory.of_gpu(BLOCK, RECORD)
    assert memory.of_gpu(BLOCK | {"ema_decay": 0.99}, RECORD) > memory.of_gpu(BLOCK, RECORD)


@pytest.mark.parametrize("gpu", [8_000, 24_000, 80_000])
def test_the_batch_that_fits_fits_and_the_next_one_does_not(gpu):
    batch = memory.batch_that_fits(BLOCK, RECORD, gpu)
    assert memory.of_gpu(BLOCK, RECORD, batch) <= 0.92 * gpu < memory.of_gpu(BLOCK, RECORD, 2 * batch)


def test_a_network_that_is_too_large_fits_with_no_batch():
    assert memory.batch_that_fits(BLOCK, RECORD | {"state_bytes": 30e9}, 24_000) == 0


def test_a_further_attempt_asks_for_more():
    assert memory.asked(1000) == 1400
    assert memory.asked(1000, attempt=2) == 2800


def config(**more):
    return configuration.resolve({"experiment": "x", "models": {"small_cnn": {}}} | more)


def test_before_the_trace_runs_take_the_default_and_nothing_is_made_up(tmp_path):
    found = Estimates(config(), tmp_path)
    assert found.memory("train_fold", "small_cnn") is None
    assert found.asked_memory("train_fold", "small_cnn") == RUN_MEMORY
    assert found.asked_minutes("train_fold", "small_cnn") == RUN_MINUTES
    assert found.seconds("train_fold", "small_cnn") is None
    assert "Exported file: not known yet" in words.in_short(found)[0]
    assert dict(words.in_full(found, None, 2))["memory"].endswith("runs: not known yet; `snakemake traces` finds out")


def test_on_a_gpu_the_time_of_a_run_is_not_known_before_one_ended(finished):
    resolved = configuration.resolve(finished.config)
    assert Estimates(resolved, finished.results, on_gpus=True).seconds("train_fold", "cnn") is None
    assert Estimates(resolved, finished.results).seconds("train_fold", "cnn") > 0


def test_explain_says_which_batch_fits_the_smallest_gpu(finished):
    found = Estimates(configuration.resolve(finished.config), finished.results, on_gpus=True)
    rows = dict(words.in_full(found, 24_000.0, 1))
    assert rows["GPU, cnn"].startswith("0.6 GiB of 23.4 GiB with batch_size 128; up to ")
    assert "batches are halved" in dict(words.in_full(found, 400.0, 1))["GPU, cnn"]
