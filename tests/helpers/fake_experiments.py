"""Finished experiments on disk, as far as `make compare` reads them."""

import json

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.probabilities import log_probabilities

CLASSES = ["cat", "dog", "owl"]


def write_experiment(folder, skill, *, n=300, start=0, classes=CLASSES, models=("cnn", "vit"), seed=0, **settings):
    """A finished experiment's files, as far as they are read: the samples `start` to `start + n`."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(start, start + n)
    labels = numbers % len(classes)
    frame = {"sample_id": [f"s{i:05}" for i in numbers], "split": "train", "label": labels, "group": None}
    frame |= {"fold": pd.array([pd.NA] * n, dtype="Int64"), "caption": None, "source": "x", "hash": "h"}
    samples = pd.DataFrame(frame | {"view_hashes": [["h"]] * n, "row": np.arange(n)})
    for name in ("data", "folds", "stack"):
        (folder / name).mkdir(parents=True)
    tables.write_samples(samples, folder / "data/samples.parquet")
    right = rng.random(n) < skill
    chosen = np.where(right, labels, (labels + 1) % len(classes))
    values = np.full((n, len(classes)), 0.1)
    values[np.arange(n), chosen] += 1 - 0.1 * len(classes)
    blocks = [
        tables.predictions(
            samples["sample_id"], log_probabilities(table), method=np.full(n, method, object), fold=labels
        )
        for method, table in (("mean", np.full(values.shape, 1 / len(classes))), ("lightgbm", values))
    ]
    tables.write_predictions(pd.concat(blocks), folder / "stack/oof.arrow", classes, keys=("method", "sample_id"))
    dump = {
        "data/dataset.json": {"task": "images", "classes": classes, "image_size": [8, 8], "channels": 1, "digest": "d"},
        "folds/folds.json": {"strategy": "plain", "n_splits": 2, "inner_splits": 5, "seed": 0, "digest": "f"},
        "stack/stack.json": {"method": "lightgbm", "floor": 0.001, "lightgbm": {"num_leaves": 7}},
    }
    for model in models:
        config = {"epochs": 5, "lr": 0.01, "options": {}} | settings
        run = {"model": model, "seed": 0, "status": "completed", "config": config, "versions": {"torch": "2"}}
        run |= {"code": [f"foldstack/models/{model}.py@aa", f"foldstack/losses.py@{settings.get('code', 'bb')}"]}
        dump[f"models/{model}/seed0/fold0/run.json"] = run
    for name, value in dump.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value))
