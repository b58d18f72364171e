"""foldstack.estimates.times: which runs start first, and how long jobs took."""

import json

import pytest

from foldstack.ensemble import stacking
from foldstack.estimates import times


def config(**models):
    filled = {name: {"epochs": 10, "image_size": None} | block for name, block in models.items()}
    return {"models": filled, "data": {"image_size": 32}}


def record(results, model, **fields):
    path = results / "models" / model / "seed0" / "fold0" / "run.json"
    path.parent.mkdir(parents=True)
    known = {
        "model": model,
        "status": "completed",
        "seconds": 100.0,
        "epochs_run": 10,
        "device": "cpu",
        "peak_memory_mb": 500.0,
    }
    path.write_text(json.dumps(known | fields))


def test_before_anything_ran_pixels_and_epochs_decide_the_order(tmp_path):
    found = times.of_runs(tmp_path, config(small={}, long={"epochs": 20}, large={"image_size": [64, 48]}))
    assert sorted(found, key=found.get) == ["small", "long", "large"]


def test_recorded_seconds_are_scaled_to_the_epochs_asked_for(tmp_path):
    record(tmp_path, "a")
    found = times.of_runs(tmp_path, config(a={"epochs": 30}))
    assert found == {"a": pytest.approx(300)}


def test_a_model_that_never_ran_is_taken_to_be_as_slow_as_the_slowest_that_did(tmp_path):
    record(tmp_path, "quick", seconds=10.0)
    record(tmp_path, "slow", seconds=200.0)
    found = times.of_runs(tmp_path, config(quick={}, slow={}, new={}))
    assert found == {"quick": pytest.approx(10), "slow": pytest.approx(200), "new": pytest.approx(200)}


def test_a_failed_or_damaged_record_counts_for_nothing(tmp_path):
    record(tmp_path, "failed", status="failed", epochs_run=0)
    record(tmp_path, "damaged")
    (tmp_path / "models" / "damaged" / "seed0" / "fold0" / "run.json").write_text("{")
    assert times.recorded(tmp_path, "failed") is None
    assert times.recorded(tmp_path, "damaged") is None


def test_memory_is_known_once_a_run_was_on_a_gpu(tmp_path):
    record(tmp_path, "on_cpu")
    record(tmp_path, "on_gpu", device="NVIDIA H100")
    assert times.peak_memory(tmp_path, "on_cpu") == times.peak_memory(tmp_path, "never_ran") == 0
    assert times.peak_memory(tmp_path, "on_gpu") == pytest.approx(550)


def benchmark(results, rule, text="s\th:m:s\n30.0\t0:00:30\n"):
    path = results / "benchmarks" / f"{rule}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_is_not_an_epoch_of_a_run_is_its_start_and_never_less_than_nothing(tmp_path):
    record(tmp_path, "measured", seconds=20.0, epochs_run=4)
    benchmark(tmp_path, "train_fold/measured/seed0/fold0")
    record(tmp_path, "resumed", seconds=50.0, epochs_run=5)
    benchmark(tmp_path, "train_fold/resumed/seed0/fold0")  # of its last attempt
    record(tmp_path, "bare", seconds=20.0, epochs_run=4)
    found = times.Timings(tmp_path).runs
    assert found["measured"] == [{"start": 10.0, "epoch": 5.0}]
    assert found["resumed"] == [{"start": 0.0, "epoch": 10.0}]
    assert found["bare"] == [{"start": 0.0, "epoch": 5.0}]


def test_other_rules_take_the_mean_of_their_jobs_and_a_damaged_benchmark_counts_for_nothing(tmp_path):
    benchmark(tmp_path, "evaluate")
    benchmark(tmp_path, "collect_oof/cnn/seed0")
    benchmark(tmp_path, "collect_oof/cnn/seed1", "s\th:m:s\n10.0\t0:00:10\n")
    benchmark(tmp_path, "collect_oof/cnn/seed2", "h:m:s\n0:00:10\n")
    benchmark(tmp_path, "fit_stacker", "")
    assert times.Timings(tmp_path).others == {"evaluate": 30.0, "collect_oof": 20.0}


def test_the_form_of_the_stack_is_that_which_fit_stacker_takes():
    """Repeated in the estimates, since parsing the workflow imports no numpy."""
    assert (times.PER_CLASS, times.PER_CLASS_CELLS) == (stacking.PER_CLASS, stacking.PER_CLASS_CELLS)
