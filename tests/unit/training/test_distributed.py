"""One run on several ranks: the same mathematics as on one, one writer, and nobody left waiting."""

import json
import os
import signal
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from fake_job import in_child
from training_inputs import CLASSES, CONFIG, OUTPUTS, read_bytes, run_of, train, write_inputs

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.models.network import Classifier, load_classifier
from foldstack.training import checkpoint, distributed, launcher, loop, steps
from foldstack.training import train as one_run
from foldstack.training.run import Place, RunFiles
from foldstack.training.schedules import peak_rate
from foldstack.training.state import Subset

# With the fixture `no_batch_norm`: nothing in which the result of a sample depends on the others or on the rank.
PLAIN = {"architecture": "small_vit", "options": {"width": 16, "dropout": 0.0}, "augmentation": "none", "epochs": 2}
NAME = "Model tiny, seed 0, fold 1"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    import torch._dynamo  # noqa: F401 (by DistributedDataParallel: seconds, which forked ranks need not spend again)

    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fork the ranks, which spares them importing torch; what a test patches is then patched in them too."""
    monkeypatch.setattr(launcher, "START_METHOD", "fork")


@pytest.fixture
def no_batch_norm(monkeypatch):
    monkeypatch.setattr(torch.nn, "BatchNorm2d", lambda channels: torch.nn.GroupNorm(1, channels))


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(checkpoint, "SHARE_OF_TIME", float("inf"))


def train_on(size, inputs, folder, **config) -> dict[str, Path]:
    """As training_inputs.train, on `size` ranks; returns the output paths."""
    outputs = {key: folder / name for key, name in OUTPUTS.items()}
    run, place = run_of(**config | {"gpus": "auto"}), Place(outputs, folder / "work", progress=folder / "progress.json")
    with mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=",".join("ABCD"[:size])):
        launcher.train_on("cpu", run, RunFiles(**inputs), place)
    return outputs


def on_one(config: dict, size: int) -> dict:
    """The config that does on one rank what `config` does on `size`."""
    return config | {"batch_size": config["batch_size"] * size, "lr": peak_rate(config, size)}


def record_of(outputs) -> dict:
    return json.loads(outputs["run"].read_text())


def agree(one, other, optimizer="sgd"):
    """Weights, losses and logits within 1e-6 with sgd.

    Adam makes much of gradients as small as rounding (those of the keys' biases are 0), which moves weights that change
    no result; there losses and logits within 1e-4.
    """
    if optimizer == "sgd":
        expected = load_classifier(one["weights"]).state_dict()
        for name, value in load_classifier(other["weights"]).state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)
    tolerance = 1e-6 if optimizer == "sgd" else 1e-4
    histories = [pd.read_csv(outputs["history"]) for outputs in (one, other)]
    pd.testing.assert_frame_equal(*histories, rtol=0, atol=tolerance)
    for key in ("oof", "test"):
        pair = [tables.read_predictions(outputs[key], CLASSES) for outputs in (one, other)]
        assert list(pair[0]["sample_id"]) == list(pair[1]["sample_id"])
        np.testing.assert_allclose(*(tables.logits(table) for table in pair), rtol=0, atol=tolerance)
    assert record_of(one)["selected_epoch"] == record_of(other)["selected_epoch"]


def at_step(step, action, rank=0):
    """A replacement of Loop._train_step whose rank `rank` acts behind step `step` (from 1) of the run."""
    proper = loop.Loop._train_step

    def stepping(self, positions, position, rate):
        proper(self, positions, position, rate)
        if self.group.rank == rank and position == step - 1:
            action()

    return stepping


@pytest.mark.parametrize(("optimizer", "batch_size"), [("sgd", 8), ("sgd", 5), ("adamw", 8)])
def test_two_ranks_agree_with_one_of_the_same_effective_batch(inputs, tmp_path, no_batch_norm, optimizer, batch_size):
    """5 samples a rank make batches of 10 and 9: one rank then has fewer than the other."""
    config = CONFIG | PLAIN | {"optimizer": optimizer, "batch_size": batch_size, "lr": 0.002}
    two = train_on(2, inputs, tmp_path / "two", **config)
    one = train(inputs, tmp_path / "one", **on_one(config, 2))
    agree(one, two, optimizer)
    assert record_of(two)["world_size"] == 2
    assert record_of(two)["effective_batch"] == record_of(one)["effective_batch"] == 2 * batch_size
    assert record_of(two)["peak_lr"] == record_of(one)["peak_lr"] == 0.002 * (2 if optimizer == "sgd" else 2**0.5)
    assert record_of(one)["world_size"] == 1
    assert not [name for name in load_classifier(two["weights"]).state_dict() if "module." in name]


def test_fewer_samples_than_ranks(inputs, tmp_path, no_batch_norm, monkeypatch):
    read = one_run.read_subsets

    def few(*arguments):
        subsets = read(*arguments)
        for key, n in {"train": 3, "selection": 3, "oof": 1}.items():
            whole = subsets[key]
            subsets[key] = Subset(whole.ids[:n], whole.rows[:n], whole.labels[:n])
        return subsets

    monkeypatch.setattr(one_run, "read_subsets", few)
    config = CONFIG | PLAIN | {"optimizer": "sgd", "batch_size": 1, "lr": 0.002}
    agree(train(inputs, tmp_path / "one", **on_one(config, 4)), train_on(4, inputs, tmp_path / "four", **config))


def test_batch_norm_keeps_statistics_of_all_ranks(inputs, tmp_path):
    """A learning rate of next to nothing leaves the running means as the only thing that moves."""
    config = CONFIG | {"augmentation": "none", "options": {"width": 4, "dropout": 0.0}, "lr": 1e-12, "batch_size": 8}
    one = load_classifier(train(inputs, tmp_path / "one", **on_one(config, 2))["weights"]).state_dict()
    two = load_classifier(train_on(2, inputs, tmp_path / "two", **config)["weights"]).state_dict()
    means = [name for name in one if name.endswith("running_mean")]
    assert means
    first = means[0]
    torch.testing.assert_close(two[first], one[first], rtol=0, atol=1e-6)


def test_ranks_augment_differently(inputs, tmp_path, monkeypatch):
    """Two ranks with the very same sample: where they drew the same numbers, one would do as well."""
    seen, proper = tmp_path / "seen", steps.augment
    seen.mkdir()

    def noting(images, preset):
        changed = proper(images, preset)
        np.save(seen / f"{os.getpid()}.npy", changed.numpy())
        return changed

    monkeypatch.setattr(steps, "augment", noting)
    monkeypatch.setattr(loop.Group, "shard", lambda self, items: items)
    monkeypatch.setattr(loop.Group, "join", lambda self, parts, n: parts)
    train_on(2, inputs, tmp_path / "run", epochs=1)
    first, second = (np.load(path) for path in seen.iterdir())
    assert first.shape == second.shape
    assert not np.allclose(first, second)


def test_early_stopping_and_plateau_end_all_ranks_alike(inputs, tmp_path):
    config = CONFIG | PLAIN | {"optimizer": "sgd", "lr": 0.05, "batch_size": 8, "schedule": "plateau", "epochs": 30}
    config |= {"early_stopping": 3, "plateau_patience": 1, "warmup_epochs": 0.0}
    run = record_of(train_on(2, inputs, tmp_path, **config))
    assert run["epochs_run"] == run["selected_epoch"] + 3 < 30


def test_rank_0_alone_writes(inputs, tmp_path, monkeypatch, every_step):
    replace, folder = os.replace, tmp_path / "ranks"
    folder.mkdir()

    def noting(source, target):
        (folder / f"{os.getpid()}").open("a").write(f"{Path(target).name}\n")
        return replace(source, target)

    monkeypatch.setattr(os, "replace", noting)
    train_on(2, inputs, tmp_path / "run", epochs=1)
    written = [set(path.read_text().split()) for path in folder.iterdir()]
    own = [names - {"rank0.json", "rank1.json"} for names in written]
    assert sorted(len(names) > 0 for names in own) == [False, True]
    assert {*OUTPUTS.values(), "checkpoint.pt", "progress.json"} <= set().union(*own)
    assert {path.name for path in (tmp_path / "run").glob("*.*")} == {*OUTPUTS.values(), "progress.json"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whom", ["parent", "rank 1"])
def test_stopped_and_gone_on_with_the_same_bytes(inputs, tmp_path, monkeypatch, capfd, number, whom):
    before = signal.getsignal(number)
    reference = train_on(2, inputs, tmp_path / "whole", batch_size=8)
    with monkeypatch.context() as patch:

        def send():
            os.kill(os.getppid() if whom == "parent" else os.getpid(), number)
            time.sleep(5 * launcher.LOOK_EVERY)  # until the parent has handed it on

        patch.setattr(loop.Loop, "_train_step", at_step(4, send, rank=1))
        with pytest.raises(SystemExit) as stopped:
            train_on(2, inputs, tmp_path / "run", batch_size=8)
    assert stopped.value.code == 128 + number
    assert signal.getsignal(number) is before
    assert not list((tmp_path / "run").glob("*.arrow"))
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == 1
    capfd.readouterr()
    resumed = train_on(2, inputs, tmp_path / "run", batch_size=8)
    assert capfd.readouterr().out.count("resumed in epoch") == 1
    assert read_bytes(resumed) == read_bytes(reference)
    assert not list(tmp_path.rglob("checkpoint.pt"))


@pytest.mark.parametrize(("began", "goes_on"), [(2, 1), (1, 2), (4, 2)])
def test_a_checkpoint_serves_any_number_of_ranks(inputs, tmp_path, no_batch_norm, monkeypatch, capfd, began, goes_on):
    config = CONFIG | PLAIN | {"optimizer": "sgd", "batch_size": 4, "lr": 0.002}
    whole = train_on(began, inputs, tmp_path / "whole", **config)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_train_step", at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        with pytest.raises(SystemExit):
            train_on(began, inputs, tmp_path / "run", **config)
    outputs = train_on(goes_on, inputs, tmp_path / "run", **config)
    assert f"begun on {began} GPU(s)" in capfd.readouterr().out
    agree(whole, outputs)
    assert record_of(outputs)["effective_batch"] == record_of(whole)["effective_batch"] == 4 * began


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_all_within_seconds(inputs, tmp_path, monkeypatch, every_step, rank):
    reference = train_on(2, inputs, tmp_path / "whole", batch_size=8)
    with monkeypatch.context() as patch:
        kill = at_step(4, lambda: os.kill(os.getpid(), signal.SIGKILL), rank)
        patch.setattr(loop.Loop, "_train_step", kill)
        started = time.monotonic()
        with pytest.raises(FoldstackError, match=rf"^{NAME}: the process of GPU {rank} .*signal 9 .SIGKILL.*others"):
            train_on(2, inputs, tmp_path / "run", batch_size=8)
        assert time.monotonic() - started < launcher.GRACE
    assert not list((tmp_path / "run").glob("*.arrow"))
    assert read_bytes(train_on(2, inputs, tmp_path / "run", batch_size=8)) == read_bytes(reference)


def test_a_rank_that_does_not_notice_is_ended_by_force(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "GRACE", 1.0)
    proper = loop.Loop._train_step

    def stepping(self, positions, position, rate):
        if self.group.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        (tmp_path / "pid").write_text(str(os.getpid()))
        time.sleep(60)
        proper(self, positions, position, rate)

    monkeypatch.setattr(loop.Loop, "_train_step", stepping)
    with pytest.raises(FoldstackError, match=r"GPU 1 .*was killed"):
        train_on(2, inputs, tmp_path / "run")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_ranks_end_with_their_parent(inputs, tmp_path, monkeypatch):
    def kill():
        (tmp_path / "pids").write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGKILL)

    monkeypatch.setattr(loop.Loop, "_train_step", at_step(2, kill))
    assert in_child(lambda: train_on(2, inputs, tmp_path / "run", epochs=1000)) == -signal.SIGKILL
    pid, until = int((tmp_path / "pids").read_text()), time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < until, "rank 0 outlives its parent"
        time.sleep(0.1)
    assert list(tmp_path.rglob("checkpoint.pt"))


@pytest.mark.parametrize("training_pass", [True, False])
def test_out_of_memory_on_one_rank_names_batch_size(inputs, tmp_path, monkeypatch, training_pass):
    classify, parent = Classifier.classify, os.getpid()

    def full(self, images):
        if self.training == training_pass and torch.distributed.get_rank() == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")
        return classify(self, images)

    monkeypatch.setattr(Classifier, "classify", full)
    with pytest.raises(FoldstackError, match=rf"^{NAME} does not fit into .* 2 GPUs .*1\.00 GiB.*lower batch_size"):
        train_on(2, inputs, tmp_path)
    assert os.getpid() == parent
    assert not list(tmp_path.glob("*.arrow"))


def test_a_diverged_run_is_the_error_that_it_is_on_one_gpu(inputs, tmp_path):
    with pytest.raises(FoldstackError, match=rf"^{NAME} diverged in epoch 1.*lower lr"):
        train_on(2, inputs, tmp_path, optimizer="sgd", lr=1e30, warmup_epochs=0, augmentation="none")
    assert not list(tmp_path.rglob("*.pt"))


def test_any_other_failure_is_told_with_its_rank(inputs, tmp_path, monkeypatch):
    def broken():
        raise KeyError("no such thing")

    monkeypatch.setattr(loop.Loop, "_train_step", at_step(1, broken, rank=1))
    with pytest.raises(RuntimeError, match="the process of GPU 1 failed: KeyError: 'no such thing'"):
        train_on(2, inputs, tmp_path)


@pytest.mark.parametrize(
    ("asked", "given", "size"), [(2, "A,B", 2), (2, "", 2), ("auto", "A,B,C", 3), ("auto", "", 1), (0, "", 1)]
)
def test_as_many_ranks_as_the_config_asks_for_whatever_the_machine(monkeypatch, asked, given, size):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert distributed.world_size(asked) == size
