"""TensorBoard event files, read by TensorBoard's own reader."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_job import training_job
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_inputs import read_bytes, train, write_inputs

import train_fold as script
from foldstack.jobs import tensorboard
from foldstack.training import checkpoint, loop

MEASURED = {"gradient_norm", "images_per_second"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def curves(folder) -> pd.DataFrame:
    """What TensorBoard shows: a row a point, a column a scalar."""
    read = EventAccumulator(str(folder))
    read.Reload()
    shown = {tag: [(point.step, point.value) for point in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    return pd.DataFrame({tag: pd.Series(dict(points)) for tag, points in shown.items()}).rename_axis("epoch"), [
        [step for step, _ in points] for points in shown.values()
    ]


def check_curves(folder, history):
    shown, steps = curves(folder)
    expected = pd.read_csv(history).set_index("epoch").dropna(axis=1)
    assert all(epochs == list(expected.index) for epochs in steps)  # each once, in order
    np.testing.assert_allclose(shown[expected.columns], expected, rtol=1e-6)
    return shown


@pytest.mark.parametrize(
    "config", [{"clip_norm": 0.01}, {"selection": "final", "precision": "float16"}], ids=["inner", "final"]
)
def test_they_hold_the_history(inputs, tmp_path, config):
    outputs = train(inputs, tmp_path, events=tmp_path / "tensorboard", **config)
    shown = check_curves(tmp_path / "tensorboard", outputs["history"])
    assert set(shown) == {*pd.read_csv(outputs["history"]).dropna(axis=1).columns, *MEASURED} - {"epoch"}
    assert (shown[list(MEASURED)] > 0).all(axis=None)
    assert (shown["gradient_norm"] < 100).all()  # not scaled
    assert shown["gradient_norm"].max() > 0.02  # not clipped
    assert read_bytes(train(inputs, tmp_path / "without", **config)) == read_bytes(outputs)


def test_a_resumed_run_shows_each_epoch_once(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(loop, "NORM_EVERY", 1)
    whole = train(inputs, tmp_path / "whole", events=tmp_path / "expected")
    # The only checkpoint is of the second step, so the first epoch is told anew behind the crash in the third.
    monkeypatch.setattr(checkpoint.Checkpoint, "due", property(lambda self: told == [1, 2]))
    told = []

    def report(**fields):
        told.append(fields["step"])
        if fields["step"] == 8:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        train(inputs, tmp_path / "run", events=tmp_path / "shown", report=report)
    assert len(curves(tmp_path / "shown")[0]) == 2
    watching = EventAccumulator(str(tmp_path / "shown"))
    watching.Reload()
    file = next((tmp_path / "shown").iterdir())
    file.write_bytes(file.read_bytes() + file.read_bytes()[:20])  # half a record of a killed process
    outputs = train(inputs, tmp_path / "run", events=tmp_path / "shown")
    watching.Reload()  # a TensorBoard that was open all the time
    assert [point.step for point in watching.Scalars("train_loss")] == [1, 2, 3]
    assert read_bytes(outputs) == read_bytes(whole)
    again = check_curves(tmp_path / "shown", outputs["history"])
    expected = curves(tmp_path / "expected")[0]
    np.testing.assert_allclose(again["gradient_norm"], expected["gradient_norm"], rtol=1e-6)


def test_a_run_taken_up_again_shows_its_own_curves(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for epochs in (2, 1, 2):
        script.main(training_job(inputs, tmp_path, epochs=epochs))
        check_curves(tmp_path / "tensorboard", tmp_path / "history.csv")
    assert "reused: this run finished on" in capsys.readouterr().out


def test_a_full_disk_or_a_forbidden_folder_costs_curves_only(tmp_path, capsys):
    rows = [{"epoch": epoch, "time": 1.0, "lr": 0.1, "inner_loss": None} for epoch in (1, 2, 3)]
    (tmp_path / "taken").write_text("a file where the folder would be")
    written = tensorboard.EventFile(tmp_path / "taken" / "run")
    written.write(rows[:1])
    written.write(rows[:2])
    assert capsys.readouterr().out.count("cannot be written now") == 1
    (tmp_path / "taken").unlink()
    written.write(rows[:2])

    class Full:
        def write(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device")

        close = write

    written._writer.close()
    written._writer = Full()
    written.write(rows)  # refused
    written.write(rows)
    written.close()
    assert curves(tmp_path / "taken" / "run")[1] == [[1, 2, 3]]


def test_they_import_little(tmp_path):
    code = "import sys; from foldstack.jobs.tensorboard import EventFile; EventFile(sys.argv[1]).write([])"
    code += "; print({'torch', 'tensorflow'} & set(sys.modules))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    path = str(Path(script.__file__).parent)
    done = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
