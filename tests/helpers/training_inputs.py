"""A tiny data set with folds on disk, and a config for runs of a second or less."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.config import resolve
from foldstack.reruns.code_digest import Code
from foldstack.runs import RUN_FILES
from foldstack.training.run import Place, Run, RunFiles
from foldstack.training.train import train_fold

SETTINGS = {
    "architecture": "small_cnn",
    "options": {"width": 4, "dropout": 0.3},
    "epochs": 3,
    "batch_size": 16,
    "lr": 0.01,
    "augmentation": "strong",
}
CONFIG = resolve.training_slice(resolve.resolve({"experiment": "tiny", "models": {"tiny": SETTINGS}}), "tiny")
CONFIG |= {"gpus": 0, "threads": 1}
CODE = Code("0123", ["train_fold.py@0123"])
OUTPUTS = RUN_FILES
SAME_BYTES = ("weights", "oof", "test", "history")  # run.json holds times
CLASSES = ["dark", "light"]
N_TRAIN, N_TEST, N_SPLITS, INNER_SPLITS = 96, 12, 3, 4


def write_inputs(folder: Path, *, task: str = "images", change=None) -> dict:
    """Write 108 noisy 10x10 images (or pairs) of two brightnesses; `change(samples, pixels)` may edit them first."""
    rng = np.random.default_rng(7)
    n = N_TRAIN + N_TEST
    labels = np.arange(n) % 2
    ids = np.array([f"sample{i:03d}" for i in range(n)])
    shape = (n, 10, 10, 1) if task == "images" else (n, 2, 10, 10, 1)
    light = labels.reshape(-1, *[1] * (len(shape) - 1)) * 40
    pixels = np.clip(rng.normal(100, 30, shape) + light, 0, 255).astype(np.uint8)
    samples = pd.DataFrame(
        {
            "sample_id": ids,
            "split": np.where(np.arange(n) < N_TRAIN, "train", "test"),
            "label": labels,
            "group": None,
            "fold": pd.array([None] * n, dtype="Int64"),
            "caption": None,
            "source": ids,
            "hash": ids,
            "view_hashes": [[name] for name in ids],
            "row": rng.permutation(n),
        }
    )
    stored = np.empty_like(pixels)
    stored[samples["row"]] = pixels
    numbers = np.arange(N_TRAIN) // 2
    folds = pd.DataFrame(
        {"sample_id": ids[:N_TRAIN], "fold": numbers % N_SPLITS, "inner": numbers // N_SPLITS % INNER_SPLITS}
    )
    if change is not None:
        change(samples, stored)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "samples": folder / "samples.parquet",
        "pixels": folder / "pixels.npy",
        "dataset": folder / "dataset.json",
        "folds": folder / "folds.parquet",
        "folds_summary": folder / "folds.json",
    }
    tables.write_samples(samples, paths["samples"])
    tables.write_folds(folds, paths["folds"])
    np.save(paths["pixels"], stored)
    dataset = {"task": task, "classes": CLASSES, "image_size": [10, 10], "channels": 1, "digest": "d1"}
    paths["dataset"].write_text(json.dumps(dataset))
    paths["folds_summary"].write_text(json.dumps({"data_digest": "d1", "digest": "f1"}))
    return paths


def run_of(*, seed: int = 0, fold: int = 1, **config) -> Run:
    return Run("tiny", seed, fold, CONFIG | config, CODE)


def train(
    inputs: dict, folder: Path, *, seed=0, fold=1, report=None, pretrained=None, events=None, **config
) -> dict[str, Path]:
    """Run `train_fold` on the CPU; returns the output paths. Checkpoints live in folder/work."""
    outputs = {key: folder / name for key, name in OUTPUTS.items()}
    run = run_of(seed=seed, fold=fold, **config)
    place = Place(outputs, folder / "work", events=events)
    train_fold(run, RunFiles(**inputs, pretrained=pretrained), place, device="cpu", report=report)
    return outputs


def read_bytes(outputs: dict[str, Path]) -> dict[str, bytes]:
    """Contents of the outputs that two equal runs share."""
    return {key: outputs[key].read_bytes() for key in SAME_BYTES}
