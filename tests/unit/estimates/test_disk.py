"""foldstack.estimates.disk: bytes by folder, and the refusal where the disk cannot hold them."""

import pytest

from foldstack.config import resolve as configuration
from foldstack.errors import FoldstackError
from foldstack.estimates import disk, facts
from foldstack.estimates.experiment import Estimates

CONFIG = configuration.resolve(
    {
        "experiment": "x",
        "folds": {"n_splits": 4},
        "seeds": [0, 1],
        "models": {"small_cnn": {"seeds": [0]}, "resnet18": {}},
    }
)
KNOWN = facts.Facts(train=1000, test=100, classes=20, shape=(1, 8, 8, 1), stored=70_400, prepared=True)
NETWORKS = {"small_cnn": {"state_bytes": 1000, "graph_bytes": 10}, "resnet18": {"state_bytes": 5000, "graph_bytes": 20}}


def test_four_bytes_a_sample_class_and_member_and_every_network_once_as_a_run_and_twice_as_onnx():
    found = disk.parts(CONFIG, KNOWN, NETWORKS)
    assert found["oof"] == 3 * 4 * 20 * 1000
    assert found["test"] == 3 * 4 * 20 * 100 * 4
    weights = 4 * 1 * 1000 + 4 * 2 * 5000
    assert found["models"] == weights + found["oof"] + found["test"]
    assert found["export"] == 2 * weights
    assert found["work"] == 2 * 3 * 5000, "two checkpoints of a network with AdamW's two numbers a weight"
    assert disk.file_bytes(CONFIG, NETWORKS) == weights + 4 * 10 + 8 * 20


def test_what_needs_the_networks_is_not_known_before_they_are_traced():
    found = disk.parts(CONFIG, KNOWN, NETWORKS | {"resnet18": None})
    assert {name for name, size in found.items() if size is None} == {"models", "export", "work"}
    assert disk.file_bytes(CONFIG, NETWORKS | {"resnet18": None}) is None


def free(monkeypatch, size):
    monkeypatch.setattr(facts, "free_space", lambda folder: size)


def test_a_disk_that_cannot_hold_the_results_is_one_sentence_with_numbers_and_a_remedy(tmp_path, monkeypatch):
    free(monkeypatch, 4_000_000_000)
    with pytest.raises(FoldstackError) as caught:
        disk.check(tmp_path, {"data": 6_000_000_000, "oof": 500_000_000, "models": None})
    text = str(caught.value)
    assert "results need 6.5 GB more, of them 6.0 GB in" in text
    assert "4.0 GB are free" in text
    assert "data.image_size" in text


def test_an_estimate_that_only_may_be_too_low_warns(tmp_path, monkeypatch):
    free(monkeypatch, 6_600_000_000)
    words = disk.check(tmp_path, {"data": 6_000_000_000, "work": 100_000_000})
    assert words == "The disk may become full: about 7.6 GB more are needed, 6.6 GB are free."
    assert disk.check(tmp_path, {"data": 1_000_000_000}) == ""


def test_what_is_there_already_is_not_needed_again(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pixels.npy").write_bytes(bytes(6_000_000))
    free(monkeypatch, 1_000_000)
    assert disk.check(tmp_path, {"data": 6_000_000}) == ""


def test_a_finished_experiment_took_what_was_estimated_within_a_factor_of_two(finished):
    found = Estimates(configuration.resolve(finished.config), finished.results).disk
    for name in ("data", "models", "oof", "test", "stack", "export", "evaluation"):
        taken = sum(path.stat().st_size for path in (finished.results / name).rglob("*") if path.is_file())
        assert found[name] / 2 <= taken <= found[name] * 2, name
