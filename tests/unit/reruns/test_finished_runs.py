"""Finished runs: reused when they are whole and of this very identity, never otherwise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_job import training_job
from hypothesis import given
from hypothesis import strategies as st
from training_inputs import OUTPUTS, write_inputs

import train_fold as script
from foldstack.reruns import finished_runs, versions
from foldstack.reruns.code_digest import Code
from foldstack.training.run import Run

RUN = {"config": {"lr": 0.1, "epochs": 2}, "code": "c", "data": "d", "folds": "f"}
RUN |= {"model": "m", "seed": 0, "fold": 1}


def identity_of(*, data: str, folds: str, code: str, **run) -> dict:
    return finished_runs.identity(Run(code=Code(code, ["train_fold.py@0"]), **run), data=data, folds=folds)


def write_outputs(folder: Path) -> dict:
    """Five files that stand for a run's."""
    outputs = {key: folder / name for key, name in OUTPUTS.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for key, path in outputs.items():
        path.write_text(json.dumps({"file": key}))
    return outputs


def contents(outputs) -> dict:
    return {key: Path(path).read_bytes() for key, path in outputs.items()}


def delete(outputs) -> None:
    for path in outputs.values():
        Path(path).unlink()


@pytest.fixture
def kept(tmp_path):
    """(work folder, identity, outputs) of a run that was kept."""
    outputs, identity = write_outputs(tmp_path / "run"), identity_of(**RUN)
    finished_runs.keep(tmp_path / "work", identity, outputs)
    return tmp_path / "work", identity, outputs


def test_deleted_outputs_come_back_byte_for_byte_and_new(kept):
    work, identity, outputs = kept
    before = contents(outputs)
    for path in outputs.values():
        os.utime(path, (0, 0))
    delete(outputs)
    assert finished_runs.restore(work, identity, outputs) == {"file": "run"}
    assert contents(outputs) == before
    assert all(path.stat().st_mtime > 0 for path in outputs.values())
    assert sorted(path.name for path in outputs["run"].parent.iterdir()) == sorted(OUTPUTS.values())


def test_a_kept_run_costs_no_space_while_its_outputs_exist(kept):
    assert all(path.stat().st_nlink == 2 for path in kept[2].values())


def test_replacing_an_output_leaves_the_kept_one(kept):
    work, identity, outputs = kept
    before = contents(outputs)
    other = write_outputs(outputs["run"].parent / "other")
    for key, path in other.items():
        path.write_text("{}")
        os.replace(path, outputs[key])
    assert finished_runs.restore(work, identity, outputs) is not None
    assert contents(outputs) == before


@pytest.mark.parametrize("key", RUN)
def test_any_other_identity_is_not_taken(kept, key):
    work, _, outputs = kept
    change = {"config": {"lr": 0.1, "epochs": 3}, "seed": 1, "fold": 0}.get(key, "other")
    assert finished_runs.restore(work, identity_of(**RUN | {key: change}), outputs) is None


def test_other_versions_are_another_identity_and_the_order_of_keys_is_not(monkeypatch):
    key = finished_runs.digest(identity_of(**RUN))
    turned = RUN | {"config": {"epochs": 2, "lr": 0.1}}
    assert finished_runs.digest(identity_of(**turned)) == key
    for package in versions.DECISIVE_PACKAGES:
        with monkeypatch.context() as patch:
            found = finished_runs.importlib.metadata.version
            patch.setattr(
                finished_runs.importlib.metadata,
                "version",
                lambda name, p=package, f=found: "0.0" if name == p else f(name),
            )
            assert finished_runs.digest(identity_of(**RUN)) != key


@given(data=st.data())
def test_any_damage_is_noticed_and_the_entry_removed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("kept")
    outputs, identity = write_outputs(folder / "run"), identity_of(**RUN)
    finished_runs.keep(folder, identity, outputs)
    delete(outputs)
    entry = next(finished_runs.shelf(folder).iterdir())
    damaged = data.draw(st.sampled_from(sorted(OUTPUTS.values())))
    content = bytearray((entry / damaged).read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "lose", "index"]))
    if how == "flip":
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    (entry / damaged).write_bytes(content[:position] if how == "cut" else content)
    if how == "lose":
        (entry / damaged).unlink()
    if how == "index":
        (entry / finished_runs.INDEX).write_bytes((entry / finished_runs.INDEX).read_bytes()[:position])
    assert finished_runs.restore(folder, identity, outputs) is None
    assert not entry.exists()
    assert not any(Path(path).exists() for path in outputs.values())


def test_an_entry_under_a_foreign_name_is_not_taken(kept, capsys):
    work, identity, outputs = kept
    other = identity_of(**RUN | {"seed": 1})
    entry = finished_runs.shelf(work) / finished_runs.digest(identity)[:16]
    entry.rename(finished_runs.shelf(work) / finished_runs.digest(other)[:16])
    assert finished_runs.restore(work, other, outputs) is None
    assert "it is of another run" in capsys.readouterr().out


def test_without_hard_links_files_are_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    outputs, identity = write_outputs(tmp_path / "run"), identity_of(**RUN)
    before = contents(outputs)
    finished_runs.keep(tmp_path, identity, outputs)
    delete(outputs)
    assert finished_runs.restore(tmp_path, identity, outputs) is not None
    assert contents(outputs) == before


def test_a_run_that_cannot_be_kept_is_no_failure(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError("disk full")

    outputs = write_outputs(tmp_path / "run")
    monkeypatch.setattr(finished_runs, "_link", full)
    finished_runs.keep(tmp_path, identity_of(**RUN), outputs)
    assert "disk full" in capsys.readouterr().out
    assert list(finished_runs.shelf(tmp_path).iterdir()) == []


def test_keeping_again_replaces_the_entry_and_what_a_killed_process_left(kept):
    work, identity, outputs = kept
    part = finished_runs.shelf(work) / f"{finished_runs.digest(identity)[:16]}.part"
    part.mkdir()
    (part / "rubbish").touch()
    (finished_runs.shelf(work) / finished_runs.digest(identity)[:16] / "oof.arrow").unlink()
    finished_runs.keep(work, identity, outputs)
    assert [path.name for path in finished_runs.shelf(work).iterdir()] == [finished_runs.digest(identity)[:16]]
    assert finished_runs.restore(work, identity, outputs) is not None


# The script, as Snakemake runs it.


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    """Runs the script with a config on outputs deleted as Snakemake does; returns (outputs, what it printed)."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # restored after the script has set it
    inputs = write_inputs(tmp_path / "inputs")

    def run(**config):
        snakemake = training_job(inputs, tmp_path / "run", **config)
        for path in snakemake.output.values():
            path.unlink(missing_ok=True)
        script.main(snakemake)
        return dict(snakemake.output), capsys.readouterr().out

    return run


def test_going_back_to_an_earlier_config_does_not_train(start, tmp_path, monkeypatch):
    outputs, log = start(epochs=2)
    assert "reused" not in log
    first = contents(outputs)
    assert contents(start(epochs=3)[0])["weights"] != first["weights"]
    with monkeypatch.context() as patch:
        patch.setattr("foldstack.training.train.train_fold", None)  # it would be called
        outputs, log = start(epochs=2)
    assert contents(outputs) == first  # run.json with its times, too
    assert "reused: this run finished on" in log
    progress = json.loads((tmp_path / "run" / "progress.json").read_text())
    assert (progress["reused"], progress["epoch"], progress["epochs"]) == (True, 2, 2)


def test_a_damaged_entry_is_trained_again(start, tmp_path):
    outputs, _ = start(epochs=1)
    first = contents(outputs)
    kept = next((tmp_path / "run" / "work" / "finished").glob("*/oof.arrow"))
    kept.write_bytes(b"x" + kept.read_bytes()[1:])
    outputs, log = start(epochs=1)
    assert "oof.arrow is not what was kept" in log
    assert "reused" not in log
    again = contents(outputs)
    assert {key: again[key] for key in again if key != "run"} == {key: first[key] for key in first if key != "run"}
    assert "reused" in start(epochs=1)[1]  # the new one was kept


def test_a_run_is_taken_up_without_importing_torch():
    code = (
        "import sys, train_fold\n"
        "heavy = {'torch', 'pandas', 'numpy', 'timm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    path = os.environ | {"PYTHONPATH": str(Path(script.__file__).parent)}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
