"""Two experiments side by side: what differs in how they were made, and whether the scores differ beyond noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.data.digest import PIXEL_FORMAT
from foldstack.errors import FoldstackError
from foldstack.evaluation import metrics
from foldstack.evaluation.bootstrap import Bootstrap, Scored, difference
from foldstack.files import read_json
from foldstack.reruns.reasons import flat
from foldstack.runs import run_records

FROM_DATASET = ("classes", *PIXEL_FORMAT, "digest")
FROM_FOLDS = ("strategy", "n_splits", "inner_splits", "seed", "digest")
FROM_STACK = ("method", "floor", "lightgbm", "left_out")
ABSENT = "–"


@dataclass(frozen=True)
class Experiment:
    """What `read_experiment` finds in results/{experiment}.

    Attributes:
        described: nested facts about how it was made, of which a comparison shows the differences.
        code: {file: digest} of all code that trained its runs.
        truth: (N,) class names by `sample_id`, of the training samples.
        probabilities: (N, C) of the deployed method, out of fold; columns are class names, rows as in `truth`.
    """

    described: dict
    code: dict[str, str]
    truth: pd.Series
    probabilities: pd.DataFrame


def read_experiment(folder) -> Experiment:
    """Read a finished experiment; raises FoldstackError where the folder holds none."""
    folder = Path(folder)
    if not (folder / "stack" / "stack.json").exists():
        raise FoldstackError(
            f"{folder} holds no finished experiment (stack/stack.json is missing); give a folder like results/digits."
        )
    dataset, folds, stack = (
        read_json(folder / name) for name in ("data/dataset.json", "folds/folds.json", "stack/stack.json")
    )
    if "method" not in stack:
        raise FoldstackError(f"{folder} was made by an older version of Foldstack; run it again to compare it.")
    runs = [read_json(path) for path in run_records(folder)]
    runs = [run for run in runs if run["status"] == "completed"]
    models: dict[str, dict] = {}
    for run in runs:
        block = models.setdefault(run["model"], dict(run["config"]) | {"seeds": []})
        block["seeds"] = sorted({*block["seeds"], run["seed"]})
    versions = {package: version for run in runs for package, version in run["versions"].items()}
    described = {
        "data": {key: dataset[key] for key in FROM_DATASET if key in dataset},
        "folds": {key: folds[key] for key in FROM_FOLDS},
        "stack": {key: stack[key] for key in FROM_STACK if key in stack},
        "models": models,
        "versions": versions,
    }
    code = dict(entry.split("@") for run in runs for entry in run["code"])
    samples = tables.read_samples(folder / "data" / "samples.parquet").set_index("sample_id")
    names = np.array(dataset["classes"], dtype=object)
    table = tables.read_predictions(folder / "stack/oof.arrow", dataset["classes"], keys=("method", "sample_id"))
    table = table[table["method"] == stack["method"]].set_index("sample_id").sort_index()
    values = tables.probabilities(table)
    truth = pd.Series(names[samples.loc[table.index, "label"]], index=table.index)
    return Experiment(described, code, truth, pd.DataFrame(values, table.index, dataset["classes"]))


def changes(first: Experiment, second: Experiment) -> list[dict]:
    """`what` (a dotted name), `first` and `second` of all that differs; a change of all models is listed once."""
    sides = [flat(each.described) for each in (first, second)]
    rows = [
        {"what": key, "first": sides[0].get(key, ABSENT), "second": sides[1].get(key, ABSENT)}
        for key in dict.fromkeys((*sides[0], *sides[1]))
        if sides[0].get(key, ABSENT) != sides[1].get(key, ABSENT)
    ]
    rows = _models_as_one(rows, *(each.described["models"] for each in (first, second)))
    both = first.code.keys() & second.code.keys()
    edited = sorted(file for file in both if first.code[file] != second.code[file])
    return rows + [{"what": f"code: {file}", "first": first.code[file], "second": second.code[file]} for file in edited]


def _models_as_one(rows: list[dict], first: dict, second: dict) -> list[dict]:
    """The rows with one for each model that only one has, and one for a change that all common models share."""
    kept = [row for row in rows if not row["what"].startswith("models.")]
    for model in dict.fromkeys((*first, *second)):
        if (model in first) != (model in second):
            here = ["there" if model in each else ABSENT for each in (first, second)]
            kept.append({"what": f"models.{model}", "first": here[0], "second": here[1]})
    common = [model for model in first if model in second]
    found: dict[tuple, list] = {}
    for model in common:
        prefix = f"models.{model}."
        for row in rows:
            if row["what"].startswith(prefix):
                key = row["what"].removeprefix(prefix)
                found.setdefault((key, repr(row["first"]), repr(row["second"])), []).append((model, row))
    for (key, _, _), group in found.items():
        whole = len(group) == len(common) > 1
        for model, row in group[:1] if whole else group:
            kept.append(row | {"what": f"models: {key} of all" if whole else f"models.{model}.{key}"})
    return kept


def scores(first: Experiment, second: Experiment, resamples: int = 1000, seed: int = 0) -> dict:
    """How the deployed methods compare out of fold, with 95 % intervals.

    Returns `paired` (whether on common samples, not each on its own), `samples` (of the first, of the second, that
    both have with the same label), and `metrics`, {name: `first`, `second`, `difference` (second less first), `low`,
    `high`, `beyond_noise`}, of those that are `listed` and exist for both.
    """
    both = first.truth.index.intersection(second.truth.index, sort=False)
    both = both[(first.truth[both] == second.truth[both]).to_numpy()]
    paired = len(both) > 0
    classes = sorted({*first.probabilities.columns, *second.probabilities.columns})
    listed = [metric.name for metric in metrics.METRICS.values() if metric.listed]
    sides, bootstrap = [], None
    for number, each in enumerate((first, second)):
        rows = both if paired else each.truth.index
        labels = np.searchsorted(classes, each.truth[rows].to_numpy(str))
        # A class that only the other experiment has was given no probability.
        table = each.probabilities.loc[rows].reindex(columns=classes, fill_value=0.0).to_numpy()
        if bootstrap is None or not paired:
            bootstrap = Bootstrap(labels, resamples, seed + number)
        sides.append(bootstrap.scored({"it": metrics.outcome(labels, table, listed)})["it"])
    return {
        "paired": paired,
        "samples": {"first": len(first.truth), "second": len(second.truth), "both": len(both)},
        "metrics": {name: _compared(sides[0], sides[1], name) for name in listed if _exists(name, sides)},
    }


def _exists(name: str, sides: list[Scored]) -> bool:
    return all(np.isfinite(each.scores[name]) for each in sides)


def _compared(first: Scored, second: Scored, name: str) -> dict:
    found = difference(second, first, name)
    beyond = bool(found["low"] > 0 or found["high"] < 0)
    return {"first": first.scores[name], "second": second.scores[name], **found, "beyond_noise": beyond}
