"""Made runs: predictions with class structure, in the files that a real run would leave.

    python made.py CODE RESULTS MODELS [--digest]

CODE is the folder workflow/scripts of the checkout whose formats count, RESULTS holds `data/` and `folds/`. With
`--digest` these are those of another checkout and get this one's digests first.

What the predictions are like: a sample is its class's prototype in D dimensions, plus noise that all models share (so
their errors are correlated) and noise of each model's own. A model scores it by prototypes of its own, of which a
quarter lean towards a class that looks alike (so its confusions are systematic), and multiplies the scores (so some
models are too sure, others not sure enough). Folds of a model differ by a little.
"""

import argparse
import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np

D = 48
SIBLINGS = 5
SHARED, OWN = 1.5, 1.5  # standard deviations of the two kinds of noise, where classes lie about 1 apart in each of D
SHARPNESS = (0.5, 2.0, 1.0, 1.5, 0.7)  # by model; 1 is calibrated but for the wrong prototypes


def prototypes(classes: int) -> np.ndarray:
    """(classes, D) float32; SIBLINGS classes in a row are near each other."""
    draws = np.random.default_rng(11)
    families = draws.normal(size=(-(-classes // SIBLINGS), D))
    return (families[np.arange(classes) // SIBLINGS] + 0.6 * draws.normal(size=(classes, D))).astype(np.float32)


def views(model: int, folds: int, true: np.ndarray) -> np.ndarray:
    """(folds, classes, D): the prototypes by which each fold's network of a model scores."""
    draws = np.random.default_rng([13, model])
    classes = len(true)
    believed = true + 0.15 * draws.normal(size=true.shape)
    wrong = draws.random(classes) < 0.25
    family = np.arange(classes) // SIBLINGS * SIBLINGS
    sibling = np.minimum(family + (np.arange(classes) + draws.integers(1, SIBLINGS, classes)) % SIBLINGS, classes - 1)
    believed[wrong] += 0.6 * (true[sibling[wrong]] - true[wrong])
    return (believed + 0.05 * draws.normal(size=(folds, *true.shape))).astype(np.float32)


def evidence(labels: np.ndarray, true: np.ndarray, seed: int) -> np.ndarray:
    """(N, D) float32: what all models see of the samples."""
    draws = np.random.default_rng([17, seed])
    difficulty = np.exp(draws.normal(0, 0.3, (len(labels), 1)))
    return (true[labels] + SHARED * difficulty * draws.normal(size=(len(labels), D))).astype(np.float32)


def seen_by(model: int, shared: np.ndarray, seed: int) -> np.ndarray:
    """(N, D) float32: the same with the model's own noise; later models are worse."""
    draws = np.random.default_rng([19, model, seed])
    return shared + np.float32(_own_noise(model)) * draws.standard_normal(shared.shape, dtype=np.float32)


def scored(model: int, seen: np.ndarray, believed: np.ndarray) -> np.ndarray:
    """(N, classes) float32 logits by linear discriminant analysis, times the model's sharpness."""
    variance = SHARED**2 + _own_noise(model) ** 2
    scale = np.float32(SHARPNESS[model % len(SHARPNESS)] / variance)
    return (seen @ believed.T - 0.5 * np.square(believed).sum(axis=1)) * scale


def _own_noise(model: int) -> float:
    return OWN * (0.8 + 0.2 * (model % 5))


class Checkout:
    """Functions of one checkout."""

    def __init__(self, code: str):
        sys.path.insert(0, code)
        self.data_digest = importlib.import_module("foldstack.data.digest").data_digest
        self.folds_digest = importlib.import_module("foldstack.folds.digest").folds_digest
        self.split_ids = importlib.import_module("foldstack.folds.split").split_ids
        self.run_files = importlib.import_module("foldstack.runs").RUN_FILES
        self.tables = importlib.import_module("foldstack.tables")

    def write(self, path: Path, ids, logits: np.ndarray, classes: list[str]) -> None:
        """A run's table, by either form of `tables.predictions`."""
        if "probabilities" in inspect.signature(self.tables.predictions).parameters:
            values = np.exp(logits - logits.max(axis=1, keepdims=True))
            values /= values.sum(axis=1, keepdims=True)
            frame = self.tables.predictions(ids, values, logits, classes=classes)
        else:
            frame = self.tables.predictions(ids, logits)
        self.tables.write_predictions(frame, path, classes)


def redigest(results: Path, checkout: Checkout) -> None:
    """dataset.json and folds.json as the checkout's own data stage would have signed them."""
    dataset, summary = (_json(results / name) for name in ("data/dataset.json", "folds/folds.json"))
    samples = checkout.tables.read_samples(results / "data/samples.parquet")
    folds = checkout.tables.read_folds(results / "folds/folds.parquet")
    dataset["digest"] = checkout.data_digest(samples, dataset)
    summary |= {"data_digest": dataset["digest"], "digest": checkout.folds_digest(folds)}
    _write_json(results / "data/dataset.json", dataset)
    _write_json(results / "folds/folds.json", summary)


def make_runs(results: Path, models: int, checkout: Checkout) -> None:
    """The files of every run of `m0`, `m1` ... but their weights."""
    dataset, summary = (_json(results / name) for name in ("data/dataset.json", "folds/folds.json"))
    samples = checkout.tables.read_samples(results / "data/samples.parquet").set_index("sample_id")
    folds = checkout.tables.read_folds(results / "folds/folds.parquet")
    true = prototypes(len(dataset["classes"]))
    parts = {split: rows.sort_index() for split, rows in samples.groupby("split")}
    train, test = (parts[split]["label"] for split in ("train", "test"))
    shared = {"train": evidence(train.to_numpy(), true, 0), "test": evidence(test.to_numpy(), true, 1)}
    for model in range(models):
        seen = {part: seen_by(model, values, seed) for seed, (part, values) in enumerate(shared.items())}
        for fold, believed in enumerate(views(model, summary["n_splits"], true)):
            folder = results / "models" / f"m{model}" / "seed0" / f"fold{fold}"
            folder.mkdir(parents=True, exist_ok=True)
            ids = checkout.split_ids(folds, fold, "final")
            rows = train.index.get_indexer(ids[2])
            tables = {"oof": (ids[2], seen["train"][rows]), "test": (test.index.to_numpy(), seen["test"])}
            for name, (of, values) in tables.items():
                checkout.write(
                    folder / checkout.run_files[name], of, scored(model, values, believed), dataset["classes"]
                )
            (folder / "history.csv").write_text("epoch,lr,train_loss,inner_loss,inner_accuracy\n1,0.001,1.0,,\n")
            record = _record(model, fold, ids, checkout) | {
                "data_digest": dataset["digest"],
                "folds_digest": summary["digest"],
            }
            _write_json(folder / "run.json", record)


def _record(model: int, fold: int, ids, checkout: Checkout) -> dict:
    """run.json, but for the digests of data and folds."""
    digests = [checkout.tables.ids_digest(part) if part else None for part in ids]
    record = dict(zip(("train_ids", "selection_ids", "predicted_ids"), digests, strict=True))
    record |= dict(zip(("n_train", "n_selection", "n_predicted"), map(len, ids), strict=True))
    record |= {"model": f"m{model}", "seed": 0, "fold": fold, "status": "completed"}
    record |= {"config": {"architecture": "small_cnn", "selection": "final"}, "code": [], "code_digest": "made"}
    record |= {"epochs_run": 1, "selected_epoch": 1, "micro_batch": None, "temperature": None, "seconds": 1.0}
    record |= {"parameters": 1000 * (model + 1), "flops": 2_000_000 * (model + 1), "device": "cpu", "gpus": ""}
    record |= {"peak_memory_mb": 1.0, "threads": 1, "precision": "float32", "versions": {}, "world_size": 1}
    return record | {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:01+00:00"}


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("code")
    parser.add_argument("results", type=Path)
    parser.add_argument("models", type=int)
    parser.add_argument("--digest", action="store_true")
    options = parser.parse_args()
    checkout = Checkout(options.code)
    if options.digest:
        redigest(options.results, checkout)
    make_runs(options.results, options.models, checkout)


if __name__ == "__main__":
    main()
