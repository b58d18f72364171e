"""A small experiment on disk: data, folds and completed runs whose predictions come from a seeded generator."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.data import digest
from foldstack.files import read_json, write_json
from foldstack.folds import out_of_fold
from foldstack.folds import split as splits
from foldstack.folds.digest import folds_digest

CLASSES = ["cat", "dog", "owl"]
MEMBERS = {"small": [0, 1], "wide": [0]}
STACK = {
    "method": "lightgbm",
    "quorum": 1.0,
    "floor": 0.001,
    "n_estimators": 20,
    "learning_rate": 0.1,
    "num_leaves": 4,
    "min_child_samples": 5,
    "colsample": 0.5,
    "subsample": 0.8,
    "l2": 1.0,
    "seed": 0,
}
EVALUATION = {"bootstrap": 200, "seed": 0, "thresholds": {"precision": 0.8, "recall": None}}


def noisy_probabilities(labels, n_classes, strength, rng):
    """(N, C) probabilities that favour the label, more so with `strength`."""
    scores = rng.normal(size=(len(labels), n_classes))
    scores[np.arange(len(labels)), labels] += strength
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def experiment(root, n_train=120, n_test=30, n_splits=3, selection="inner", strength=1.5, informative=True):
    """Write the folders data, folds and models below `root`; return its tables and paths."""
    rng = np.random.default_rng(7)
    n = n_train + n_test
    ids = [f"s{i:04d}" for i in rng.permutation(n)]
    samples = pd.DataFrame(
        {
            "sample_id": ids,
            "split": ["train"] * n_train + ["test"] * n_test,
            "label": np.arange(n) % len(CLASSES),
            "group": None,
            "fold": pd.array([pd.NA] * n, dtype="Int64"),
            "caption": None,
            "source": ids,
            "hash": ids,
            "view_hashes": [[i] for i in ids],
            "row": np.arange(n),
        }
    ).sort_values("sample_id", ignore_index=True)
    train_ids = samples.loc[samples["split"] == "train", "sample_id"].to_numpy()
    folds = pd.DataFrame(
        {
            "sample_id": train_ids,
            "fold": rng.permutation(np.arange(n_train) % n_splits),
            "inner": rng.permutation(np.arange(n_train) % 4),
        }
    )
    data, folds_dir = root / "data", root / "folds"
    tables.write_samples(samples, data / "samples.parquet")
    tables.write_folds(folds, folds_dir / "folds.parquet")
    tables.write_duplicates(duplicates(), data / "duplicates.parquet")
    dataset = {"task": "images", "classes": CLASSES, "image_size": [8, 8], "channels": 1, "fit": "crop"}
    dataset |= {"duplicates": {"train": 0, "train_test": 0}, "near_duplicates": {"train": 0, "train_test": 0}}
    dataset |= {"two_labels": {"identical": 0, "near": 0, "pairs": []}}
    dataset |= {"digest": digest.data_digest(samples, dataset)}
    write_json(data / "dataset.json", dataset)
    summary = {"n_splits": n_splits, "inner_splits": 4, "data_digest": dataset["digest"]}
    summary |= {"digest": folds_digest(folds), "cautions": []}
    write_json(folds_dir / "folds.json", summary)
    runs = [
        _run(root, samples, folds, summary, model, seed, fold, selection, strength if informative else 0)
        for model, seeds in MEMBERS.items()
        for seed in seeds
        for fold in range(n_splits)
    ]
    return SimpleNamespace(root=root, samples=samples, folds=folds, summary=summary, runs=runs)


def duplicates(*rows):
    """duplicates.parquet: one (first, second, distance) a row, all in the training split."""
    frame = pd.DataFrame(rows, columns=["first", "second", "distance"])
    return frame.assign(first_split="train", second_split="train", first_view=0, second_view=0)


def _run(root, samples, folds, summary, model, seed, fold, selection, strength):
    folder = root / "models" / model / f"seed{seed}" / f"fold{fold}"
    rng = np.random.default_rng([len(model), seed, fold])
    train, aside, held_out = splits.split_ids(folds, fold, selection)
    labels = samples.set_index("sample_id")["label"]
    test_ids = samples.loc[samples["split"] == "test", "sample_id"]
    for name, ids in (("oof", held_out), ("test", test_ids)):
        values = noisy_probabilities(labels.loc[ids].to_numpy(), len(CLASSES), strength, rng)
        frame = tables.predictions(ids, np.log(values))
        tables.write_predictions(frame, folder / f"{name}.arrow", CLASSES)
    record = {
        "model": model,
        "seed": seed,
        "fold": fold,
        "status": "completed",
        "data_digest": summary["data_digest"],
        "folds_digest": summary["digest"],
        "train_ids": tables.ids_digest(train),
        "selection_ids": tables.ids_digest(aside) if selection == "inner" else None,
        "predicted_ids": tables.ids_digest(held_out),
        "parameters": 1000 * len(model),
        "flops": 2_500_000,
        "seconds": float(rng.random()),
    }
    write_json(folder / "run.json", record)
    return folder


def dataset_of(made):
    return read_json(made.root / "data" / "dataset.json")


def collect(made, model="small", seed=0):
    """(oof, test) of one (model, seed) of `experiment`."""
    runs = [folder for folder in made.runs if folder.parts[-3:-1] == (model, f"seed{seed}")]
    return out_of_fold.collect(runs, made.folds, made.samples, dataset_of(made), made.summary, model, seed)


def edit_record(folder, **changes):
    record = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", record | changes)


def run_script(main, root, rule, inputs, outputs, wildcards=None, config=None, **more):
    """Call a script's main as Snakemake would; `more` are params."""
    log = root / "logs" / f"{rule}.log"
    params = {"code": []} | more | ({} if config is None else {"config": json.dumps(config, sort_keys=True)})
    main(
        SimpleNamespace(
            rule=rule,
            log=[str(log)],
            input=SimpleNamespace(**inputs),
            output=SimpleNamespace(**{key: str(path) for key, path in outputs.items()}),
            wildcards=Wildcards(wildcards or {}),
            params=Params(params),
        )
    )


class Params(dict):
    __getattr__ = dict.__getitem__


class Wildcards(Params):
    pass
