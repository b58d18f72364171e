"""One run: the protocol, the files, determinism, and going on after an interruption."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import training_inputs
from fake_job import training_job
from PIL import Image
from training_inputs import CLASSES, INNER_SPLITS, N_TEST, N_TRAIN, read_bytes, train, write_inputs

import train_fold as script
from foldstack import tables
from foldstack.data import store
from foldstack.data.decode import Geometry
from foldstack.data.pixels import Prefetcher
from foldstack.errors import FoldstackError
from foldstack.models.network import load_classifier
from foldstack.training import checkpoint, loop
from foldstack.training import inputs as run_inputs

FILES = Path(__file__).resolve().parents[3] / "docs" / "reference" / "files.md"
STEPS = 3 * 3  # of a run: 48 training samples in 3 batches, 3 epochs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def reference(inputs, tmp_path_factory):
    """Outputs of an undisturbed run."""
    return train(inputs, tmp_path_factory.mktemp("reference"))


@pytest.fixture
def every_step(monkeypatch):
    """Report and write a checkpoint after every step."""
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(checkpoint, "SHARE_OF_TIME", float("inf"))


def interrupt_at(step, action):
    def report(**fields):
        if fields["step"] == step:
            action()

    return report


def crash():
    raise ConnectionError("pulled the plug")


def test_files_follow_their_contract(inputs, reference):
    folds = tables.read_folds(inputs["folds"])
    run = json.loads(reference["run"].read_text())
    row = next(line for line in FILES.read_text().splitlines() if line.startswith("| `run.json`"))
    promised = set(row.split("|")[2].replace(" (", "`").split("`")[1::2])
    assert {name for name in promised if name.isidentifier()} - {"null"} <= set(run)
    held_out = sorted(folds.loc[folds["fold"] == 1, "sample_id"])
    inner = sorted(folds.loc[(folds["fold"] != 1) & (folds["inner"] == 1 % INNER_SPLITS), "sample_id"])
    learnt = sorted(set(folds["sample_id"]) - set(held_out) - set(inner))
    for key, ids in (("predicted", held_out), ("selection", inner), ("train", learnt)):
        assert run[f"n_{key}"] == len(ids) > 0
        assert run[f"{key}_ids"] == tables.ids_digest(ids)
    assert list(tables.read_predictions(reference["oof"], CLASSES)["sample_id"]) == held_out
    assert len(tables.read_predictions(reference["test"], CLASSES)) == N_TEST
    assert run["status"] == "completed"
    assert run["parameters"] > 0
    assert run["flops"] > 0
    assert run["micro_batch"] is None
    assert not list(reference["run"].parent.rglob("*.pt"))


# The inner loss falls and rises again, so that the last epoch is not the one to keep.
OVERSHOOTS = {
    "optimizer": "sgd",
    "lr": 0.3,
    "schedule": "constant",
    "augmentation": "none",
    "options": {"width": 4, "dropout": 0.0},
}


def test_keeps_the_epoch_of_lowest_inner_loss(inputs, tmp_path):
    outputs = train(inputs, tmp_path, epochs=6, **OVERSHOOTS)
    history, run = pd.read_csv(outputs["history"]), json.loads(outputs["run"].read_text())
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert run["selected_epoch"] == history["inner_loss"].idxmin() + 1 < 6
    shorter = train(inputs, tmp_path / "shorter", epochs=run["selected_epoch"], **OVERSHOOTS)
    assert shorter["weights"].read_bytes() == outputs["weights"].read_bytes()


def test_weights_on_disk_give_the_recorded_logits(inputs, reference):
    oof = tables.read_predictions(reference["oof"], CLASSES)
    rows = tables.read_samples(inputs["samples"]).set_index("sample_id").loc[oof["sample_id"], "row"]
    with torch.inference_mode():
        logits = load_classifier(reference["weights"])(torch.from_numpy(np.load(inputs["pixels"])[rows]))
    np.testing.assert_allclose(logits.numpy(), tables.logits(oof), atol=1e-5)
    softmax = torch.softmax(torch.tensor(tables.logits(oof)).double(), dim=1)
    np.testing.assert_allclose(softmax, tables.probabilities(oof), atol=1e-6)


def test_learns(inputs, tmp_path):
    outputs = train(inputs, tmp_path, epochs=8, augmentation="none")
    oof = tables.read_predictions(outputs["oof"], CLASSES)
    labels = tables.read_samples(inputs["samples"]).set_index("sample_id").loc[oof["sample_id"], "label"]
    assert (tables.probabilities(oof).argmax(axis=1) == labels.to_numpy()).mean() > 0.9


def test_same_seed_same_bytes_and_another_seed_or_fold_not(inputs, reference, tmp_path):
    assert read_bytes(train(inputs, tmp_path / "again")) == read_bytes(reference)
    for name, change in {"seed": {"seed": 1}, "fold": {"fold": 2}}.items():
        other = read_bytes(train(inputs, tmp_path / name, **change))
        assert all(other[key] != content for key, content in read_bytes(reference).items()), name


@pytest.mark.parametrize("selection", ["inner", "final"])
def test_held_out_and_test_samples_decide_nothing(inputs, tmp_path, selection):
    folds = tables.read_folds(inputs["folds"])
    unseen = set(folds.loc[folds["fold"] == 1, "sample_id"]) | {f"sample{i:03d}" for i in range(N_TRAIN, 200)}

    def spoil(samples, stored):
        rows = samples["sample_id"].isin(unseen)
        samples.loc[rows, "label"] = 1 - samples.loc[rows, "label"]
        stored[samples.loc[rows, "row"]] = 255 - stored[samples.loc[rows, "row"]]

    honest = train(inputs, tmp_path / "honest", selection=selection)
    spoilt = train(write_inputs(tmp_path / "inputs", change=spoil), tmp_path / "spoilt", selection=selection)
    assert spoilt["weights"].read_bytes() == honest["weights"].read_bytes()
    assert spoilt["history"].read_bytes() == honest["history"].read_bytes()
    assert spoilt["oof"].read_bytes() != honest["oof"].read_bytes()


def test_final_takes_no_slice(inputs, tmp_path):
    outputs = train(inputs, tmp_path, selection="final")
    run, history = json.loads(outputs["run"].read_text()), pd.read_csv(outputs["history"])
    assert run["n_selection"] == 0
    assert run["selection_ids"] is None
    assert run["n_train"] + run["n_predicted"] == N_TRAIN
    assert run["selected_epoch"] == run["epochs_run"] == 3
    assert history["inner_loss"].isna().all()


@pytest.mark.parametrize("change", [{"early_stopping": 2}, {"schedule": "plateau"}])
def test_final_refuses_what_must_look_at_held_out_data(inputs, tmp_path, change):
    with pytest.raises(FoldstackError, match=f"{next(iter(change))}.*selection: inner"):
        train(inputs, tmp_path, selection="final", **change)


def test_early_stopping_stops(inputs, tmp_path):
    outputs = train(inputs, tmp_path, epochs=40, early_stopping=2, **OVERSHOOTS)
    run = json.loads(outputs["run"].read_text())
    assert run["epochs_run"] == run["selected_epoch"] + 2 < 40


def test_diverged_run_is_an_error_and_leaves_nothing(inputs, tmp_path, every_step):
    with pytest.raises(FoldstackError, match=r"Model tiny, seed 0, fold 1 diverged in epoch 1.*lower lr"):
        train(inputs, tmp_path, optimizer="sgd", lr=1e30, warmup_epochs=0, augmentation="none")
    assert not list(tmp_path.rglob("*.pt"))
    assert not list(tmp_path.glob("*.*"))


def test_architecture_of_the_other_task_is_refused(inputs, tmp_path):
    with pytest.raises(FoldstackError, match=r"siamese.*pairs"):
        train(inputs, tmp_path, architecture="siamese", options={})


def test_other_data_than_the_folds_were_made_from_is_refused(inputs, tmp_path):
    stale = tmp_path / "folds.json"
    stale.write_text(json.dumps({"data_digest": "other", "digest": "f1"}))
    with pytest.raises(FoldstackError, match="made from other data"):
        train({**inputs, "folds_summary": stale}, tmp_path / "run")


def test_pairs(tmp_path):
    pairs = write_inputs(tmp_path / "inputs", task="pairs")
    outputs = train(pairs, tmp_path / "run", architecture="siamese", options={"width": 4, "features": 8})
    assert load_classifier(outputs["weights"]).spec["task"] == "pairs"
    assert len(tables.read_predictions(outputs["oof"], CLASSES)) == N_TRAIN // 3


@pytest.mark.parametrize("step", [1, 4, STEPS])
def test_swapped_pairs_end_with_the_same_bytes_after_a_crash(tmp_path, every_step, step):
    pairs = write_inputs(tmp_path / "inputs", task="pairs")
    config = {"architecture": "siamese", "options": {"width": 2, "features": 4}, "swap": True}
    whole = train(pairs, tmp_path / "whole", **config)
    with pytest.raises(ConnectionError):
        train(pairs, tmp_path / "run", report=interrupt_at(step, crash), **config)
    assert read_bytes(train(pairs, tmp_path / "run", **config)) == read_bytes(whole)
    assert read_bytes(train(pairs, tmp_path / "plain", **config | {"swap": False})) != read_bytes(whole)


def test_swap_without_pairs_is_refused(inputs, tmp_path):
    with pytest.raises(FoldstackError, match="swap is for pairs of two classes, and the data hold images of 2"):
        train(inputs, tmp_path, swap=True)


def test_memory_mapped_pixels_give_the_same_bytes(inputs, reference, tmp_path, monkeypatch):
    monkeypatch.setattr(run_inputs, "IN_MEMORY_BYTES", 0)
    assert read_bytes(train(inputs, tmp_path)) == read_bytes(reference)


@pytest.mark.parametrize("in_memory", [0, 2**20])
def test_encoded_images_give_the_same_bytes(inputs, reference, tmp_path, monkeypatch, in_memory):
    files = [tmp_path / f"{row:03d}.png" for row in range(N_TRAIN + N_TEST)]
    for file, image in zip(files, np.load(inputs["pixels"]), strict=True):
        Image.fromarray(image[..., 0]).save(file)
    geometry = Geometry(10, 10, 1, "crop")
    samples = store.read_samples(files, geometry, keep_bytes=True, describe=False)
    store.write_encoded(samples, tmp_path / "pixels.npy", geometry)
    asked, prefetch = [], Prefetcher.prefetch
    monkeypatch.setattr(Prefetcher, "prefetch", lambda self, rows: (asked.append(len(rows)), prefetch(self, rows)))
    monkeypatch.setattr(run_inputs, "IN_MEMORY_BYTES", in_memory)
    assert read_bytes(train({**inputs, "pixels": tmp_path / "pixels.npy"}, tmp_path / "run")) == read_bytes(reference)
    assert bool(asked) == (in_memory == 0)


def test_reports_progress(inputs, tmp_path):
    told = []
    train(inputs, tmp_path, report=lambda **fields: told.append(fields))
    ends = [fields for fields in told if fields["step"] % 3 == 0]
    assert [(fields["epoch"], fields["step"], fields["steps"]) for fields in ends] == [
        (1, 3, STEPS),
        (2, 6, STEPS),
        (3, 9, STEPS),
    ]
    assert all(fields["train_loss"] > 0 and 0 <= fields["inner_accuracy"] <= 1 for fields in ends)
    assert ends[-1]["seconds_left"] == 0
    assert ends[-1]["images_per_second"] > 0


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_crash_after_any_step_changes_nothing(inputs, reference, tmp_path, every_step, step, capfd):
    with pytest.raises(ConnectionError):
        train(inputs, tmp_path, report=interrupt_at(step, crash))
    assert not list(tmp_path.glob("*.*"))  # no output of an unfinished run
    assert read_bytes(train(inputs, tmp_path)) == read_bytes(reference)
    assert ("resumed" in capfd.readouterr().out) == (step > 1)  # nothing is saved before the first step
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_crashes_one_after_another_change_nothing(inputs, tmp_path, every_step, optimizer):
    config = {"optimizer": optimizer, "schedule": "plateau", "lr": 0.05, "epochs": 4}
    whole = train(inputs, tmp_path / "whole", **config)
    for step in (2, 5, 6, 11):
        with pytest.raises(ConnectionError):
            train(inputs, tmp_path / "parts", report=interrupt_at(step, crash), **config)
    assert read_bytes(train(inputs, tmp_path / "parts", **config)) == read_bytes(whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits(inputs, reference, tmp_path, monkeypatch, number):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stopped:
        train(inputs, tmp_path, report=interrupt_at(5, lambda: os.kill(os.getpid(), number)))
    assert stopped.value.code == 128 + number
    assert signal.getsignal(number) is before
    assert len(list(tmp_path.rglob("checkpoint.pt"))) == 1
    steps = []
    resumed = train(inputs, tmp_path, report=lambda **fields: steps.append(fields["step"]))
    assert min(steps) == 6  # went on after step 5
    assert read_bytes(resumed) == read_bytes(reference)


def test_a_checkpoint_of_another_config_is_not_picked_up(inputs, tmp_path, every_step):
    with pytest.raises(ConnectionError):
        train(inputs, tmp_path, report=interrupt_at(5, crash))
    steps = []
    other = train(inputs, tmp_path, lr=0.02, report=lambda **fields: steps.append(fields["step"]))
    assert min(steps) == 1
    assert read_bytes(other) == read_bytes(train(inputs, tmp_path / "fresh", lr=0.02))


def test_a_damaged_checkpoint_is_reported_and_ignored(inputs, reference, tmp_path, every_step, capfd):
    with pytest.raises(ConnectionError):
        train(inputs, tmp_path, report=interrupt_at(5, crash))
    path = next(tmp_path.rglob("checkpoint.pt"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert read_bytes(train(inputs, tmp_path)) == read_bytes(reference)
    assert "ignored (checksum" in capfd.readouterr().out


PROGRAM = """
import os, signal, sys
from pathlib import Path
import training_inputs
from fake_job import training_job
from foldstack.training import checkpoint, loop
loop.REPORT_SECONDS = checkpoint.SECONDS_BETWEEN = 0
checkpoint.SHARE_OF_TIME = float("inf")
folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
def report(**fields):
    if fields["step"] == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
inputs = {name: folder / "inputs" / file for name, file in {
    "samples": "samples.parquet", "pixels": "pixels.npy", "dataset": "dataset.json", "folds": "folds.parquet",
    "folds_summary": "folds.json"}.items()}
training_inputs.train(inputs, folder / "run", report=report)
print(*sorted({"torch._dynamo", "timm", "torchvision", "sklearn", "matplotlib"} & set(sys.modules)))
"""


def test_a_killed_process_goes_on_and_imports_only_what_it_needs(reference, tmp_path):
    write_inputs(tmp_path / "inputs")
    path = os.pathsep.join([str(Path(training_inputs.__file__).parent), str(Path(script.__file__).parent)])

    def start(kill_at):
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(kill_at)],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert start(kill_at=5).returncode == -signal.SIGKILL
    assert list(tmp_path.rglob("checkpoint.pt"))
    finished = start(kill_at=-1)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[0].startswith("resumed in epoch 2 after 1 of 3 steps")
    assert finished.stdout.splitlines()[-1] == ""  # imported none of the slow ones
    outputs = {key: tmp_path / "run" / path.name for key, path in reference.items()}
    assert read_bytes(outputs) == read_bytes(reference)


def test_a_run_has_the_threads_of_its_config_whatever_the_cores(inputs, tmp_path):
    job = training_job(inputs, tmp_path, threads=2)
    assert job.threads == 1
    before = torch.get_num_threads()
    script.main(job)
    torch.set_num_threads(before)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["threads"] == record["config"]["threads"] == 2


def test_script_unpacks_the_job(inputs, reference, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # restored after the script has set it
    snakemake = training_job(inputs, tmp_path)
    script.main(snakemake)
    assert read_bytes(snakemake.output) == read_bytes(reference)
    assert json.loads((tmp_path / "progress.json").read_text())["step"] == STEPS
