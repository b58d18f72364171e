"""Cross-fitted scores of every way to combine an experiment's models, with both forms of LightGBM.

    python compare.py CODE RESULTS ROWS OUT TITLE

Where a booster a class on all rows would take hours, ROWS of them are drawn, the same for all.
"""

import json
import sys
from pathlib import Path

import numpy as np

FORMS = {"shared": (0, 0), "per_class": (10**9, 10**18)}
ALWAYS = 50  # classes up to which all rows are taken, and the logistic stack is fitted
RESAMPLES = 1000


def main() -> None:
    code, results, rows, out, title = sys.argv[1:]
    sys.path.insert(0, code)
    from foldstack.config import resolve as configuration
    from foldstack.ensemble import logistic, stacking
    from foldstack.probabilities import log_probabilities

    members = read(Path(results))
    classes = members.classes
    chosen = np.arange(len(members.labels))
    if len(classes) > ALWAYS and len(chosen) > int(rows):
        chosen = np.sort(np.random.default_rng(0).choice(chosen, int(rows), replace=False))
    averaged = members.seed_averaged_oof()[:, chosen]
    labels, folds = members.labels[chosen], members.folds[chosen]
    raw = {"experiment": "x", "models": {"small_cnn": {}}}
    stack = configuration.resolve(raw)["stack"]
    found: dict[str, np.ndarray] = {}
    logistic.ITERATIONS = logistic.ITERATIONS if len(classes) <= ALWAYS else 1  # it goes with a booster a class
    for form, (stacking.PER_CLASS, stacking.PER_CLASS_CELLS) in FORMS.items():
        fitted = stacking.cross_fit(averaged, labels, folds, members.models, classes, stack)
        found |= {f"lightgbm, {form}" if name == "lightgbm" else name: fitted[name] for name in fitted}
    if len(classes) > ALWAYS:
        found.pop("logistic", None)
    tables = {name: log_probabilities(softmaxed(logits)) for name, logits in found.items()}
    name = f"{title}: {len(classes)} classes, {len(labels):,} rows, {len(members.models)} models"
    figures = {"title": name, "methods": scores(tables, labels)}
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(json.dumps(figures, indent=1), encoding="utf-8")


def read(results: Path):
    from foldstack import tables
    from foldstack.ensemble.members import read_members

    dataset = json.loads((results / "data" / "dataset.json").read_text(encoding="utf-8"))
    oof, test = (sorted(map(str, results.glob(f"{part}/*/seed*.arrow"))) for part in ("oof", "test"))
    seeds: dict[str, list[int]] = {}
    for path in map(Path, oof):
        seeds.setdefault(path.parent.name, []).append(int(path.stem.removeprefix("seed")))
    samples = tables.read_samples(results / "data" / "samples.parquet")
    return read_members(oof, test, seeds, samples, dataset["classes"])


def softmaxed(logits: np.ndarray) -> np.ndarray:
    values = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return values / values.sum(axis=1, keepdims=True)


def scores(tables: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, dict]:
    """Accuracy with its interval, log-loss, and the change of accuracy from the plain mean, on the same resamples."""
    right = {name: (logits.argmax(axis=1) == labels).astype(np.float64) for name, logits in tables.items()}
    draws = np.random.default_rng(0)
    stacked = np.stack(list(right.values()))
    resampled = np.empty((len(stacked), RESAMPLES))
    for i in range(RESAMPLES):
        counts = np.bincount(draws.integers(len(labels), size=len(labels)), minlength=len(labels))
        resampled[:, i] = stacked @ counts / len(labels)
    base = list(right).index("mean")
    found = {}
    for i, (name, own) in enumerate(right.items()):
        low, high = np.percentile(resampled[i], [2.5, 97.5])
        loss = -tables[name][np.arange(len(labels)), labels].mean()
        found[name] = {"accuracy": own.mean(), "low": low, "high": high, "log_loss": float(loss)}
        if name != "mean":
            below, above = np.percentile(resampled[i] - resampled[base], [2.5, 97.5])
            change = own.mean() - right["mean"].mean()
            found[name]["difference"] = {"difference": change, "low": below, "high": above}
    return found


if __name__ == "__main__":
    main()
