"""Checkpoints: what comes back, what is refused, when one is due; seeds by position."""

import json
import os
import signal
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foldstack.training import checkpoint, seeding
from foldstack.training.checkpoint import Checkpoint, StopSignal

STATE = {"epoch": 3, "loss": 0.1, "history": [{"epoch": 1, "inner_loss": None}], "weights": {"a": torch.arange(5.0)}}


def test_state_comes_back(tmp_path):
    Checkpoint(tmp_path, {"seed": 0}).save(STATE)
    loaded = Checkpoint(tmp_path, {"seed": 0}).load()
    assert torch.equal(loaded.pop("weights")["a"], STATE["weights"]["a"])
    assert loaded == {key: value for key, value in STATE.items() if key != "weights"}


def test_order_of_keys_is_no_identity_but_values_are(tmp_path):
    Checkpoint(tmp_path, {"seed": 0, "config": {"lr": 1, "epochs": 2}}).save(STATE)
    assert Checkpoint(tmp_path, {"config": {"epochs": 2, "lr": 1}, "seed": 0}).load() is not None
    assert Checkpoint(tmp_path, {"config": {"epochs": 2, "lr": 2}, "seed": 0}).load() is None


def test_nothing_there(tmp_path, capsys):
    assert Checkpoint(tmp_path, {}).load() is None
    assert capsys.readouterr().out == ""


@given(data=st.data())
def test_any_damage_is_noticed(tmp_path_factory, data):
    kept = Checkpoint(tmp_path_factory.mktemp("work"), {})
    kept.save(STATE)
    content = bytearray(kept.path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content = content[:position]
    kept.path.write_bytes(content)
    assert kept.load() is None
    assert not kept.path.exists()


def test_a_checkpoint_of_another_run_under_this_name_is_ignored(tmp_path, capsys):
    mine, other = Checkpoint(tmp_path, {"seed": 0}), Checkpoint(tmp_path, {"seed": 1})
    other.save(STATE)
    mine.path.parent.mkdir()
    other.path.rename(mine.path)
    assert mine.load() is None
    assert "belongs to another run" in capsys.readouterr().out


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    kept = Checkpoint(tmp_path / "work", {})
    kept.save({"evil": Evil()})
    assert kept.load() is None
    assert not (tmp_path / "owned").exists()


def test_due_by_time_and_rarer_where_writing_is_slow(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    kept = Checkpoint(tmp_path, {})
    clock[0] = 19.9
    assert not kept.due
    clock[0] = 20.0
    assert kept.due
    write = torch.save

    def slow(*arguments):
        clock[0] += 10
        write(*arguments)

    monkeypatch.setattr(torch, "save", slow)
    kept.save(STATE)
    clock[0] += 199
    assert not kept.due
    clock[0] += 1.1
    assert kept.due


def test_a_failed_write_keeps_the_last_one(tmp_path, monkeypatch):
    kept = Checkpoint(tmp_path, {})
    kept.save(STATE)

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.io, "BytesIO", full)
    with pytest.raises(OSError, match="disk full"):
        kept.save({"epoch": 4})
    monkeypatch.undo()
    assert kept.load()["epoch"] == 3


def test_remove_takes_the_folder_along(tmp_path):
    kept = Checkpoint(tmp_path / "work", {})
    kept.save(STATE)
    kept.remove()
    kept.remove()
    assert not any((tmp_path / "work").iterdir())


def test_signals_are_noted_and_handlers_restored():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert stop.number is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def enter():
        with StopSignal():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_random_numbers_depend_on_the_position_alone():
    def drawn(*position):
        seeding.seed_step(*position)
        return tuple(torch.rand(3).tolist())

    places = [(seed, fold, step) for seed in range(3) for fold in range(3) for step in range(3)]
    first = [drawn(*place) for place in places]
    assert len(set(first)) == len(places)
    assert [drawn(*place) for place in reversed(places)] == first[::-1]
    seeding.seed_weights(0, 0)
    assert tuple(torch.rand(3).tolist()) not in first


def test_epoch_order_is_a_permutation_of_its_own():
    orders = [seeding.epoch_order(50, 0, 0, epoch) for epoch in range(4)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({json.dumps(order.tolist()) for order in orders}) == 4
    assert np.array_equal(orders[2], seeding.epoch_order(50, 0, 0, 2))


def test_statistics_sample_is_limited_and_without_repeats():
    assert seeding.statistics_sample(10, 2000, 0, 0).tolist() == list(range(10))
    chosen = seeding.statistics_sample(5000, 2000, 0, 0)
    assert len(set(chosen.tolist())) == 2000
    assert chosen.max() < 5000
