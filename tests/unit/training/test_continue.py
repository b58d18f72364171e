"""Raising `epochs` of a finished run: it goes on where the schedule allows that, and ends as a fresh run would."""

import json
import os
import signal

import pytest
from training_inputs import read_bytes, train, write_inputs

from foldstack.training import loop
from foldstack.training.schedules import OPEN_ENDED, learning_rate

# The inner loss falls and rises again.
OVERSHOOTS = {"optimizer": "sgd", "lr": 0.3, "augmentation": "none", "options": {"width": 4, "dropout": 0.0}}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def steps_of(inputs, folder, **config):
    """(outputs, steps that were trained)."""
    told = []
    outputs = train(inputs, folder, report=lambda **fields: told.append(fields["step"]), **config)
    return outputs, told


def same_results(one, other):
    """The same bytes, and the same run.json apart from times."""
    assert read_bytes(one) == read_bytes(other)
    keys = ("epochs_run", "selected_epoch", "micro_batch", "config", "train_ids")
    first, second = (json.loads(outputs["run"].read_text()) for outputs in (one, other))
    assert {key: first[key] for key in keys} == {key: second[key] for key in keys}


@pytest.mark.parametrize("selection", ["inner", "final"])
@pytest.mark.parametrize("schedule", OPEN_ENDED)
def test_more_epochs_go_on_and_give_the_bytes_of_a_fresh_run(inputs, tmp_path, schedule, selection, capsys):
    if schedule == "plateau" and selection == "final":
        schedule = "constant"
    config = {"schedule": schedule, "selection": selection, "optimizer": "adam", "lr": 0.05}
    train(inputs, tmp_path / "run", epochs=2, **config)
    longer, steps = steps_of(inputs, tmp_path / "run", epochs=5, **config)
    assert "continues a run of the same settings that ended after 2 epochs" in capsys.readouterr().out
    assert min(steps) > 2 * 3
    same_results(longer, train(inputs, tmp_path / "fresh", epochs=5, **config))


def test_cosine_trains_again(inputs, tmp_path, capsys):
    train(inputs, tmp_path / "run", epochs=2)
    longer, steps = steps_of(inputs, tmp_path / "run", epochs=3)
    assert min(steps) <= 3
    assert "continues" not in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.pt"))
    same_results(longer, train(inputs, tmp_path / "fresh", epochs=3))


def test_the_schedules_that_go_on_do_not_look_at_the_number_of_epochs():
    config = {"lr": 0.1, "warmup_epochs": 1.0, "step_epochs": 2, "decay": 0.5, "plateau_patience": 1}
    config |= {"min_lr": 0.0, "milestones": [2]}
    for schedule in ("constant", "cosine", "step", "multistep", "plateau"):
        rates = [
            [
                learning_rate(config | {"schedule": schedule, "epochs": n}, step, 3, [1.0] * (step // 3))
                for step in range(9)
            ]
            for n in (3, 30)
        ]
        assert (rates[0] == rates[1]) == (schedule in OPEN_ENDED), schedule


def test_early_stopping_and_the_selected_epoch_are_those_of_a_fresh_run(inputs, tmp_path):
    config = {"schedule": "constant", "early_stopping": 2, **OVERSHOOTS}
    fresh = train(inputs, tmp_path / "fresh", epochs=40, **config)
    ended = json.loads(fresh["run"].read_text())
    assert ended["selected_epoch"] + 2 == ended["epochs_run"] < 40
    for epochs in (ended["selected_epoch"] - 1, ended["epochs_run"] - 1, 40):
        last = train(inputs, tmp_path / "run", epochs=epochs, **config)
    same_results(last, fresh)
    # It stopped by itself: there is nothing to add.
    more, steps = steps_of(inputs, tmp_path / "run", epochs=60, **config)
    assert steps == []
    assert read_bytes(more) == read_bytes(fresh)


def test_fewer_epochs_never_use_a_later_state_nor_replace_it(inputs, tmp_path, capsys):
    config = {"schedule": "constant"}
    train(inputs, tmp_path / "run", epochs=4, **config)
    fewer, steps = steps_of(inputs, tmp_path / "run", epochs=2, **config)
    assert "continues" not in capsys.readouterr().out
    assert min(steps) <= 3
    same_results(fewer, train(inputs, tmp_path / "fresh2", epochs=2, **config))
    more, steps = steps_of(inputs, tmp_path / "run", epochs=5, **config)
    assert min(steps) > 4 * 3
    same_results(more, train(inputs, tmp_path / "fresh5", epochs=5, **config))


@pytest.mark.parametrize("change", [{"lr": 0.02}, {"weight_decay": 0.1}, {"schedule": "step"}, {"batch_size": 20}])
def test_any_other_change_starts_afresh(inputs, tmp_path, change):
    train(inputs, tmp_path, epochs=1, schedule="constant")
    _, steps = steps_of(inputs, tmp_path, **{"epochs": 2, "schedule": "constant", **change})
    assert min(steps) <= 3


def test_a_damaged_state_is_reported_removed_and_not_used(inputs, tmp_path, capsys):
    train(inputs, tmp_path / "run", epochs=1, schedule="constant")
    path = next((tmp_path / "run").rglob("checkpoint.pt"))
    path.write_bytes(path.read_bytes()[:-1])
    outputs = train(inputs, tmp_path / "run", epochs=2, schedule="constant")
    assert f"checkpoint {path} ignored (checksum does not match) and removed" in capsys.readouterr().out
    same_results(outputs, train(inputs, tmp_path / "fresh", epochs=2, schedule="constant"))


def test_a_continued_run_that_is_interrupted_goes_on(inputs, tmp_path, monkeypatch):
    from foldstack.training import checkpoint

    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(checkpoint, "SHARE_OF_TIME", float("inf"))

    def crash(**fields):
        if fields["step"] == 11:
            raise ConnectionError

    config = {"schedule": "plateau", "lr": 0.05}
    train(inputs, tmp_path / "run", epochs=2, **config)
    with pytest.raises(ConnectionError):
        train(inputs, tmp_path / "run", epochs=5, report=crash, **config)
    outputs, steps = steps_of(inputs, tmp_path / "run", epochs=5, **config)
    assert min(steps) == 11
    same_results(outputs, train(inputs, tmp_path / "fresh", epochs=5, **config))


def test_what_is_continued_are_the_last_weights_not_the_selected_ones(inputs, tmp_path, monkeypatch):
    """A run that is stopped while it predicts holds the weights of an earlier epoch by then."""
    predict = loop.Loop.predict

    def interrupted(self, rows):
        if self.trained:
            os.kill(os.getpid(), signal.SIGTERM)
        return predict(self, rows)

    config = {"schedule": "constant", **OVERSHOOTS}
    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "predict", interrupted)
        with pytest.raises(SystemExit):
            train(inputs, tmp_path / "run", epochs=6, **config)
    shorter = train(inputs, tmp_path / "run", epochs=6, **config)
    assert json.loads(shorter["run"].read_text())["selected_epoch"] < 6
    longer, steps = steps_of(inputs, tmp_path / "run", epochs=8, **config)
    assert min(steps) > 6 * 3
    same_results(longer, train(inputs, tmp_path / "fresh", epochs=8, **config))
