"""Whole runs for the checks: the real snakemake command in a copy of the workflow, and what its files say."""

import os
import subprocess
from pathlib import Path

from project import Project

from foldstack import files
from foldstack.errors import FoldstackError
from foldstack.gpus import inventory
from gpu.check import Attempt

DIGITS = {"data": {"format": "digits"}, "folds": {"n_splits": 2}, "seeds": [0]}
# The stand-in GPUs of a rehearsal; where there are real ones, Project must not hide them.
ENVIRONMENT = {inventory.FAKE: os.environ.get(inventory.FAKE)}


def start(project: Project, *targets: str, log: str = "snakemake.log") -> subprocess.Popen:
    """snakemake with one GPU, under way in the check's own process group, so that it ends with the check."""
    with open(project.folder / log, "ab") as stream:
        return subprocess.Popen(
            project.command(*(_path(project, name) for name in targets), "--resources", "gpu=1", cores=os.cpu_count()),
            cwd=project.folder,
            env=project.environment(ENVIRONMENT),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


def finish(project: Project, process: subprocess.Popen, log: str = "snakemake.log") -> None:
    """Wait for a snakemake to end; raises FoldstackError with the first reason that it printed where it failed."""
    if process.wait() == 0:
        return
    lines = (project.folder / log).read_text(errors="replace").splitlines()
    print("\n".join(lines))
    reasons = [line.removeprefix("✗ ") for line in lines if line.startswith("✗ ")] or [lines[-1] if lines else ""]
    raise FoldstackError(f"snakemake ended with {process.returncode}: {reasons[0]}")


def complete(project: Project, *targets: str) -> None:
    """snakemake from start to end."""
    finish(project, start(project, *targets))


def of_model(model: str, fold: int = 0) -> str:
    """The target that trains a model with seed 0 without one fold."""
    return f"models/{model}/seed0/fold{fold}/run.json"


def record(project: Project, target: str) -> dict:
    """run.json of a target of `of_model`."""
    return files.read_json(project.results / target)


def log_of(project: Project, model: str) -> list[str]:
    """Lines of the log of `of_model(model)`."""
    path = project.results / "logs" / "train_fold" / model / "seed0" / "fold0.log"
    return path.read_text(errors="replace").splitlines()


def require_gpu(attempt: Attempt, run: dict, *precisions: str) -> None:
    """Raise FoldstackError unless a run (its run.json) trained on a GPU of this process, in one of `precisions`."""
    name = f"{run['model']} fold {run['fold']}"
    if run["gpus"] not in inventory.visible_gpus():
        raise FoldstackError(f"{name} had {run['gpus']!r} in CUDA_VISIBLE_DEVICES, which is no GPU of this machine.")
    if run["device"] == "cpu" and not attempt.rehearsal:
        raise FoldstackError(f"{name} trained on the CPU, though it had leased {run['gpus']}.")
    if run["precision"] not in precisions:
        raise FoldstackError(f"{name} trained in {run['precision']}, not in {' or '.join(precisions)}.")


def oof_accuracy(project: Project, model: str, folds: int = 2) -> float:
    """Share of the training samples that the network of their own held-out fold labels as they are."""
    import pandas as pd  # takes a second, which every check's process would spend

    from foldstack import tables

    samples = tables.read_samples(project.results / "data" / "samples.parquet").set_index("sample_id")
    classes = files.read_json(project.results / "data" / "dataset.json")["classes"]
    frames = [
        tables.read_predictions((project.results / of_model(model, fold)).with_name("oof.arrow"), classes)
        for fold in range(folds)
    ]
    found = pd.concat(frames).set_index("sample_id")
    labels = tables.probabilities(found).argmax(axis=1)
    return float((labels == samples.loc[found.index, "label"].to_numpy()).mean())


def _path(project: Project, target: str) -> str:
    return str(Path("results") / project.config["experiment"] / target)
