"""The files that a run writes (docs/reference/files.md, "runs"): history, predictions, and what run.json says of it."""

import csv
import datetime
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from foldstack import files, tables
from foldstack.models.flops import count_flops
from foldstack.models.network import Classifier
from foldstack.reruns import versions
from foldstack.training.run import Run
from foldstack.training.schedules import peak_rate
from foldstack.training.state import State, Subset

HISTORY = ("epoch", "lr", "train_loss", "inner_loss", "inner_accuracy")


def write_history(history: list[dict], path) -> None:
    """Write history.csv: one row an epoch, no timings, so that equal runs give equal bytes."""
    with files.atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, HISTORY, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def write_run_predictions(ids: list[str], logits: np.ndarray, classes: list[str], path, **ranks) -> None:
    """Write logits (N, C) by sample id, with `text.ranking.ranks` where there are captions."""
    tables.write_predictions(tables.predictions(ids, logits, **ranks), path, classes)


def sweep(outputs: dict) -> None:
    """Remove what a process killed while writing may have left beside the outputs."""
    for path in map(Path, outputs.values()):
        for part in path.parent.glob(f".{path.name}.*"):
            part.unlink(missing_ok=True)


def digests(subsets: dict[str, Subset]) -> dict:
    """Which samples the run saw: digests of ids and counts, by the names of run.json."""
    names = {"train": "train", "selection": "selection", "predicted": "oof"}
    ids = {name: subsets[key].ids for name, key in names.items()}
    digests = {f"{name}_ids": tables.ids_digest(value) if value else None for name, value in ids.items()}
    return digests | {f"n_{name}": len(value) for name, value in ids.items()}


def described(
    run: Run,
    info: dict,
    summary: dict,
    subsets: dict[str, Subset],
    state: State,
    classifier: Classifier,
    read: Callable[[np.ndarray], torch.Tensor],
) -> dict:
    """What run.json says about the run, its samples, its network and the result of training."""
    record = {
        "model": run.model,
        "seed": run.seed,
        "fold": run.fold,
        "status": "completed",
        "config": run.config,
        "code": run.code.files,
        "code_digest": run.code.digest,
        "data_digest": info["digest"],
        "folds_digest": summary["digest"],
    }
    training = {
        "epochs_run": len(state.history),
        "selected_epoch": state.selected_epoch,
        "temperature": classifier.spec.get("temperature"),
        "micro_batch": state.micro_batch,
        "parameters": sum(parameter.numel() for parameter in classifier.parameters()),
        "flops": count_flops(classifier, read(subsets["train"].rows[:1])),
    }
    return record | digests(subsets) | training | scale(run.config, state.world_size)


def times(started: datetime.datetime, seconds: float) -> dict:
    """When this attempt began and ended, and the wall time of all attempts."""
    return {
        "seconds": round(seconds, 3),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def scale(config: dict, world_size: int) -> dict:
    """The effective batch and peak learning rate that follow from the number of GPUs."""
    effective = config["batch_size"] * config["accumulate"] * world_size
    return {"world_size": world_size, "effective_batch": effective, "peak_lr": peak_rate(config, world_size)}


def machine(device: str, threads: int, precision: torch.dtype) -> dict:
    """The device, number format and versions that the run was trained with, and the memory that it used."""
    return {
        "precision": str(precision).removeprefix("torch."),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "threads": threads,
        "peak_memory_mb": round(_peak_memory(device), 1),
        "versions": versions.versions(),
    }


def _peak_memory(device: str) -> float:
    """MiB: of the GPU's allocator, or of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
