"""The configs in config/examples, and small stand-ins for the data and text encoders that they name."""

from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from text_inputs import write_encoder

FOLDER = Path(__file__).resolve().parents[2] / "config" / "examples"
EXAMPLES = sorted(FOLDER.rglob("*.yaml"))
SMALL = sorted(FOLDER.glob("*.yaml"))
CLASSES = ("dark", "light")
SIDE = 64


def files_of(example: Path) -> list[Path]:
    """What --configfile takes: of a file in larger/ the small form before it."""
    return [FOLDER / example.name, example] if example.parent.name == "larger" else [example]


def read_example(example: Path) -> dict:
    """The config, of two files both together."""
    config: dict = {}
    for path in files_of(example):
        config = _merged(config, yaml.safe_load(path.read_text()))
    return config


def write_inputs(config: dict, folder: Path, per_class: int = 24) -> None:
    """What the config names by a path, made up, in `folder`: images or pairs of two brightnesses, a tiny encoder."""
    data = config["data"]
    if data["format"] == "imagefolder":
        write_images(folder / data["path"], per_class)
    if data["format"] == "npz_pairs":
        _write_pairs(folder / data["path"], per_class)
    for model in (spec["model"] for spec in config.get("grid", {}).values() if "model" in spec):
        if "text" in model:
            write_encoder(folder / model["text"]["encoder"])


def reduced(config: dict) -> dict:
    """The same experiment with one epoch, two folds, one seed and few resamplings."""
    blocks = [config["training"], *(block for block in config.get("models", {}).values() if block)]
    for block in blocks:
        block |= {key: value for key, value in (("epochs", 1), ("seeds", [0])) if key in block}
    config |= {"seeds": [0], "evaluation": {"bootstrap": 100}}
    config["training"] |= {"epochs": 1, "warmup_epochs": 0}
    config["folds"] = config.get("folds", {}) | {"n_splits": 2}
    return config


def _merged(config: dict, larger: dict) -> dict:
    """What Snakemake makes of two --configfile."""
    for key, value in larger.items():
        config[key] = _merged(config[key], value) if isinstance(value, dict) and config.get(key) else value
    return config


def write_images(folder: Path, per_class: int) -> None:
    rng = np.random.default_rng(0)
    for level, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = rng.integers(90 * level, 90 * level + 120, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def _write_pairs(folder: Path, per_class: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(2 * per_class) % 2
    pixels = rng.integers(0, 120, (len(labels), 28, 56), dtype=np.uint8)
    for row, label in zip(pixels, labels, strict=True):
        row[:, 28 * (1 - label) :][:, :28] += 90
    folder.mkdir(parents=True)
    np.savez(folder / "train.npz", x=pixels, y=labels.astype(np.uint8))
