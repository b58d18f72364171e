"""Synthetic inputs of the report: the files that the stages before it write, made up but consistent."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.evaluation import bootstrap, by_class, calibration, metrics

MODELS = {"small_cnn": 0.9, "resnet18": 0.95, "vit_tiny": 0.85}


def write_data(root, classes, per_class=30, shape=(28, 28, 1), n_splits=5, inner_splits=10, seed=0):
    """data/ and folds/ under `root`; the later a class, the rarer. Returns (samples, dataset)."""
    rng = np.random.default_rng(seed)
    sizes = [max(int(per_class * 0.99**i), 3) for i in range(len(classes))]
    labels = np.repeat(np.arange(len(classes)), sizes)
    pixels = rng.integers(0, 60, (len(labels), *shape), dtype=np.uint8)
    for row, label in enumerate(labels):  # a bright bar whose place tells the class
        pixels[row, ..., int(label * shape[-2] / len(classes)), :] = 240
    n = len(labels)
    samples = pd.DataFrame(
        {
            "sample_id": [f"sample{i:06d}" for i in range(n)],
            "split": np.where(np.arange(n) % 5 == 0, "test", "train"),
            "label": labels,
            "group": None,
            "fold": pd.array([pd.NA] * n, dtype="Int64"),
            "caption": None,
            "source": [f"images/{i}.png" for i in range(n)],
            "hash": [f"{value:016x}" for value in rng.permutation(n)],
            "view_hashes": [[f"{i:016x}"] for i in range(n)],
            "row": np.arange(n),
        }
    )
    task = "pairs" if len(shape) == 4 else "images"
    dataset = {"task": task, "classes": list(classes), "image_size": list(shape[-3:-1]), "channels": shape[-1]}
    train = samples.loc[samples["split"] == "train", ["sample_id"]].reset_index(drop=True)
    folds = train.assign(fold=np.arange(len(train)) % n_splits, inner=np.arange(len(train)) // n_splits % inner_splits)
    summary = {"strategy": "stratified_group", "n_splits": n_splits, "inner_splits": inner_splits, "seed": 0}
    for folder in ("data", "folds", "evaluation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    tables.write_samples(samples, root / "data/samples.parquet")
    tables.write_folds(folds, root / "folds/folds.parquet")
    np.save(root / "data/pixels.npy", pixels)
    _dump(root / "data/dataset.json", dataset)
    _dump(root / "folds/folds.json", summary)
    return samples, dataset


def write_runs(root, models=MODELS, seeds=(0, 1), n_splits=5, epochs=20, selection="inner", workers=2, pause_days=0):
    """models/*/seed*/fold*/{run.json,history.csv}; a pause before the last model. Returns the paths of run.json."""
    rng = np.random.default_rng(1)
    free = [datetime(2026, 11, 3, 9, 30, tzinfo=UTC)] * workers
    paths = []
    for number, (model, skill) in enumerate(models.items()):
        if number == len(models) - 1:
            free = [max(free) + timedelta(days=pause_days)] * workers
        for seed in seeds:
            for fold in range(n_splits):
                folder = root / f"models/{model}/seed{seed}/fold{fold}"
                folder.mkdir(parents=True, exist_ok=True)
                seconds = float(60 * (number + 1) * rng.uniform(0.9, 1.3))
                worker = free.index(min(free))
                started, free[worker] = free[worker], free[worker] + timedelta(seconds=seconds)
                history = _history(rng, epochs, skill, selection)
                history.to_csv(folder / "history.csv", index=False)
                run = {"model": model, "seed": seed, "fold": fold, "status": "completed", "seconds": seconds}
                run |= {"started": started.isoformat(), "finished": free[worker].isoformat(), "epochs_run": epochs}
                run |= {"selected_epoch": epochs if selection == "final" else int(history["inner_loss"].argmin()) + 1}
                _dump(folder / "run.json", run)
                paths.append(folder / "run.json")
    return paths


def write_evaluation(root, samples, dataset, models=MODELS, seeds=(0, 1)):
    """evaluation/{leaderboard.csv,metrics.json} from made-up probabilities and the real metrics."""
    rng = np.random.default_rng(2)
    parts = {part: samples.loc[samples["split"] == split, "label"] for part, split in PARTS.items()}
    rows = [("model", name, None, skill) for name, skill in models.items()]
    rows += [("seed", name, seed, skill - 0.02) for name, skill in models.items() for seed in seeds]
    rows += [("blend", name, None, 0.96) for name in ("best_single", "mean", "greedy")]
    rows += [("stack", name, None, 0.97) for name in ("logistic", "lightgbm")]
    tree = {"model": {}, "seed": {}, "blend": {}, "stack": {}}
    board = []
    for kind, name, seed, skill in rows:
        size = {"parameters": 11_173_962, "flops": 560_000_000} if kind in ("model", "seed") else {}
        entry = {"parameters": None, "flops": None} | size
        for part, labels in parts.items():
            entry[part] = _figures(rng, labels.to_numpy(), skill, dataset["classes"])
        flat = {f"{part}_{key}": value for part in parts for key, value in entry[part].items()}
        board.append({"kind": kind, "name": name, "seed": seed} | flat | size)
        target = tree["seed"].setdefault(name, {}) if kind == "seed" else tree[kind]
        target[str(seed) if kind == "seed" else name] = entry
    frame = pd.DataFrame(board).drop(columns=[f"{part}_{key}" for part in parts for key in ("per_class", "intervals")])
    frame.astype({"seed": "Int64", "parameters": "Int64", "flops": "Int64"}).to_csv(
        root / "evaluation/leaderboard.csv", index=False
    )
    counts = {"train": len(parts["oof"]), "test": len(parts["test"])}
    verdict = "Stacking gained nothing over the plain mean: within noise (OOF accuracy of the LightGBM stack: +0.12)."
    figures = tree | {"classes": dataset["classes"], "samples": counts, "verdict": verdict}
    figures |= {"deployed": {"kind": "stack", "name": "lightgbm"}, "subsets": _subsets(models)}
    inputs = {part: _probabilities(rng, labels.to_numpy(), 0.9, dataset["classes"]) for part, labels in parts.items()}
    truth = {part: labels.to_numpy() for part, labels in parts.items()}
    folds = np.arange(counts["train"]) % 5
    deployed = {
        part: metrics.outcome(labels.to_numpy(), _probabilities(rng, labels.to_numpy(), 0.97, dataset["classes"]))
        for part, labels in parts.items()
    }
    figures["confusion"] = {part: by_class.confusion(found) for part, found in deployed.items()}
    figures |= {"thresholds": [], "threshold_target": {"precision": None, "recall": None}}
    figures["calibration"] = calibration.before_and_after(
        truth["oof"], inputs["oof"], folds, truth["test"], inputs["test"]
    )
    _dump(root / "evaluation/metrics.json", _without_nan(figures))


PARTS = {"oof": "train", "test": "test"}


def _history(rng, epochs, skill, selection):
    epoch = np.arange(1, epochs + 1)
    loss = 2.2 * np.exp(-epoch / rng.uniform(3, 5)) + 0.1
    inner = loss + 0.004 * epoch + rng.normal(0, 0.02, epochs).cumsum() * 0.5 + 0.05
    accuracy = skill - 0.7 * np.exp(-epoch / 4) + rng.normal(0, 0.01, epochs)
    held = [np.nan] * epochs if selection == "final" else None
    columns = {"epoch": epoch, "lr": 1e-3, "train_loss": loss}
    columns |= {"inner_loss": held or np.abs(inner), "inner_accuracy": held or np.clip(accuracy, 0, 1)}
    return pd.DataFrame(columns)


def _subsets(models):
    """Every set of the models; the larger, the dearer and the more accurate, but the last model is of no use."""
    chosen = [each for size in range(len(models)) for each in itertools.combinations(models, size + 1)]
    rows = [
        {
            "models": list(names),
            "parameters": sum(10 ** (5 + list(models).index(name)) for name in names),
            "flops": sum(10 ** (9 - list(models).index(name)) for name in names),
            "accuracy": max(models[name] for name in names) + 0.01 * len(set(names) - {list(models)[-1]}),
            "fronts": [],
        }
        for names in chosen
    ]
    for row, key in itertools.product(rows, ("parameters", "flops")):
        better = [o for o in rows if o[key] <= row[key] and o["accuracy"] >= row["accuracy"] and o is not row]
        if not better:
            row["fronts"].append(key)
    return rows


def _figures(rng, labels, skill, classes):
    probabilities = _probabilities(rng, labels, skill, classes)
    found = metrics.outcome(labels, probabilities)
    scored = bootstrap.Bootstrap(labels, 200, 0).scored({"it": found})["it"]
    reach = scored.intervals()
    low, high = reach.get("accuracy", [float("nan")] * 2)
    limits = {"accuracy_low": low, "accuracy_high": high, "intervals": reach}
    return scored.scores | limits | {"per_class": by_class.per_class(found)}


def _probabilities(rng, labels, skill, classes):
    right = rng.random(len(labels)) < skill
    wrong = (labels + np.where(rng.random(len(labels)) < 0.5, 1, rng.integers(1, 7, len(labels)))) % len(classes)
    probabilities = np.full((len(labels), len(classes)), 0.2 / len(classes)) + rng.uniform(0, 0.05, (len(labels), 1))
    probabilities[np.arange(len(labels)), np.where(right, labels, wrong)] += 0.8
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _dump(path, value):
    path.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")
