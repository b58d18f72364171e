"""Stopped in any phase, a run leaves nothing that looks finished, and the next start ends with the same bytes."""

import json
import os
import signal

import pytest
import torch
from fake_job import in_child
from training_inputs import OUTPUTS, read_bytes, train, write_inputs

from foldstack.errors import FoldstackError
from foldstack.models.network import Classifier
from foldstack.training import loop
from foldstack.training import train as one_run

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def references(inputs, tmp_path_factory):
    """Outputs of undisturbed runs, by schedule."""
    folder = tmp_path_factory.mktemp("reference")
    return {name: train(inputs, folder / name, schedule=name) for name in ("cosine", "constant")}


def outputs_in(folder) -> set[str]:
    return {path.name for path in folder.glob("*") if path.is_file()}


def killed_at(number: int, sent: signal.Signals):
    """A replacement of os.replace that sends a signal to this process before the outputs' n-th renaming."""
    replace, count = os.replace, [0]

    def counting(source, target):
        if os.path.basename(target) in OUTPUTS.values():
            count[0] += 1
            if count[0] == number:
                os.kill(os.getpid(), sent)
        return replace(source, target)

    return counting


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("rename", range(1, 6))
def test_a_kill_between_the_renames_is_repeated_with_the_same_bytes(
    inputs, references, tmp_path, monkeypatch, capfd, schedule, rename
):
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed_at(rename, signal.SIGKILL))
        assert in_child(lambda: train(inputs, tmp_path, schedule=schedule)) == -signal.SIGKILL
    assert len([name for name in outputs_in(tmp_path) if name in OUTPUTS.values()]) == rename - 1
    assert "run.json" not in outputs_in(tmp_path)
    steps = []
    again = train(inputs, tmp_path, schedule=schedule, report=lambda **fields: steps.append(fields["step"]))
    assert steps == []  # training had been saved as finished
    assert read_bytes(again) == read_bytes(references[schedule])
    assert outputs_in(tmp_path) == set(OUTPUTS.values())  # no half-written file is left
    capfd.readouterr()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("rename", [1, 5])
def test_a_signal_while_writing_waits_for_the_outputs(inputs, references, tmp_path, monkeypatch, number, rename):
    before = signal.getsignal(number)
    monkeypatch.setattr(os, "replace", killed_at(rename, number))
    outputs = train(inputs, tmp_path)
    assert read_bytes(outputs) == read_bytes(references["cosine"])
    assert json.loads(outputs["run"].read_text())["status"] == "completed"
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_signal_during_prediction_leaves_no_output(inputs, references, tmp_path, monkeypatch, number, schedule):
    predict = loop.Loop.predict

    def interrupted(self, rows):
        if self.trained:
            os.kill(os.getpid(), number)
        return predict(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "predict", interrupted)
        with pytest.raises(SystemExit) as stopped:
            train(inputs, tmp_path, schedule=schedule)
    assert stopped.value.code == 128 + number
    assert outputs_in(tmp_path) == set()
    steps = []
    again = train(inputs, tmp_path, schedule=schedule, report=lambda **fields: steps.append(fields["step"]))
    assert steps == []
    assert read_bytes(again) == read_bytes(references[schedule])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_training_leaves_nothing(inputs, references, tmp_path, monkeypatch, number):
    def reading(*_):
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(one_run, "read_subsets", reading)
        assert in_child(lambda: train(inputs, tmp_path)) != 0
    assert outputs_in(tmp_path) == set()
    assert read_bytes(train(inputs, tmp_path)) == read_bytes(references["cosine"])


def test_a_signal_while_the_network_is_built_saves_the_first_step(inputs, references, tmp_path, monkeypatch):
    build = one_run.Classifier

    def slow(spec):
        os.kill(os.getpid(), signal.SIGTERM)
        return build(spec)

    with monkeypatch.context() as patch:
        patch.setattr(one_run, "Classifier", slow)
        with pytest.raises(SystemExit):
            train(inputs, tmp_path)
    assert outputs_in(tmp_path) == set()
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == 1
    assert read_bytes(train(inputs, tmp_path)) == read_bytes(references["cosine"])


def test_stale_checkpoints_are_reported_and_removed_with_the_finished_run(inputs, tmp_path, capsys, monkeypatch):
    def stop(**_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    with pytest.raises(SystemExit):
        train(inputs, tmp_path, report=stop, lr=0.02)
    stale = next(tmp_path.rglob("checkpoint.pt")).parent
    with pytest.raises(SystemExit):
        train(inputs, tmp_path, report=stop)
    assert f"stale checkpoint {stale} ignored" in capsys.readouterr().out
    assert stale.exists()  # the earlier config may come back before this run has ended
    train(inputs, tmp_path)
    assert f"removed the stale checkpoint {stale}" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.pt"))


def test_checkpoints_of_other_runs_are_not_stale(inputs, tmp_path, monkeypatch):
    def stop(**_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    for change in ({"fold": 2}, {"seed": 1}):
        with pytest.raises(SystemExit):
            train(inputs, tmp_path, report=stop, **change)
    train(inputs, tmp_path)
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == 2


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_predictions_that_are_not_numbers_fail_the_run(inputs, tmp_path, monkeypatch, schedule):
    forward = Classifier.forward

    def broken(self, pixels):
        return forward(self, pixels) * (float("nan") if len(pixels) == 32 else 1.0)  # the fold; the inner split has 16

    monkeypatch.setattr(Classifier, "forward", broken)
    with pytest.raises(FoldstackError, match=r"Model tiny, seed 0, fold 1 diverged.*predictions are not finite"):
        train(inputs, tmp_path, schedule=schedule)
    assert outputs_in(tmp_path) == set()
    assert not list(tmp_path.rglob("*.pt"))


def test_weights_that_are_not_numbers_fail_the_run(inputs, tmp_path, monkeypatch):
    step = loop.Loop._train_step

    def spoil(self, positions, position, rate):
        step(self, positions, position, rate)
        if position == 8:
            with torch.no_grad():
                next(self.classifier.parameters()).fill_(float("inf"))

    monkeypatch.setattr(loop.Loop, "_train_step", spoil)
    with pytest.raises(FoldstackError, match="weights or predictions are not finite"):
        train(inputs, tmp_path, selection="final")
    assert outputs_in(tmp_path) == set()
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("fault", ["not finite", "unreadable"])
def test_bad_initial_weights_are_named_as_such(inputs, tmp_path, monkeypatch, fault):
    build = one_run.Classifier

    def bad(spec):
        if fault == "unreadable":
            raise EOFError("file ends too early")
        classifier = build(spec)
        with torch.no_grad():
            next(classifier.parameters()).view(-1)[0] = float("nan")
        return classifier

    monkeypatch.setattr(one_run, "Classifier", bad)
    wanted = {
        "not finite": "weights that it starts from are not finite",
        "unreadable": "cannot be built.*ends too early",
    }
    with pytest.raises(FoldstackError, match=f"Model tiny, seed 0, fold 1.*{wanted[fault]}.*options"):
        train(inputs, tmp_path)
    assert outputs_in(tmp_path) == set()
