"""A tiny data set with folds on disk, and a config for runs of a second or less."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.training.run import train_fold

CONFIG = {
    "architecture": "small_cnn",
    "options": {"width": 4, "dropout": 0.3},
    "pretrained": False,
    "epochs": 3,
    "batch_size": 16,
    "optimizer": "adamw",
    "lr": 0.01,
    "weight_decay": 0.05,
    "momentum": 0.9,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "step_epochs": 2,
    "decay": 0.1,
    "plateau_patience": 1,
    "loss": "cross_entropy",
    "label_smoothing": 0.0,
    "focal_gamma": 2.0,
    "class_weights": "none",
    "sampling": "plain",
    "accumulate": 1,
    "layer_decay": None,
    "head_only_epochs": 0,
    "ema_decay": None,
    "clip_norm": None,
    "gradient_checkpointing": False,
    "compile": False,
    "deterministic": True,
    "min_lr": 0.0,
    "milestones": [],
    "augmentation": "strong",
    "augment": {},
    "swap": False,
    "tta": [],
    "temperature": False,
    "selection": "inner",
    "early_stopping": None,
    "image_size": None,
    "gpus": 0,
    "threads": 1,
    "precision": "auto",
}
OUTPUTS = {
    "weights": "weights.safetensors",
    "oof": "oof.parquet",
    "test": "test.parquet",
    "history": "history.csv",
    "run": "run.json",
}
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


def train(
    inputs: dict, folder: Path, *, seed=0, fold=1, report=None, pretrained=None, events=None, **config
) -> dict[str, Path]:
    """Run `train_fold` on the CPU; returns the output paths. Checkpoints live in folder/work."""
    outputs = {key: folder / name for key, name in OUTPUTS.items()}
    train_fold(
        **inputs,
        model="tiny",
        seed=seed,
        fold=fold,
        config=CONFIG | config,
        code=["train_fold.py@0123"],
        outputs=outputs,
        work=folder / "work",
        device="cpu",
        threads=1,
        report=report,
        events=events,
        pretrained=pretrained,
    )
    return outputs


def read_bytes(outputs: dict[str, Path]) -> dict[str, bytes]:
    """Contents of the outputs that two equal runs share."""
    return {key: outputs[key].read_bytes() for key in SAME_BYTES}
