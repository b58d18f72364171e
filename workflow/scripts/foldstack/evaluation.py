"""Evaluation: every model, seed, blend and stack on the out-of-fold rows and on the test set.

Nothing in here depends on when, where or how fast a run was made: an interrupted and an undisturbed experiment give the
same bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from foldstack import metrics
from foldstack.errors import FoldstackError
from foldstack.members import Members
from foldstack.stacking import BLENDS, STACKS

DEPLOYED = "lightgbm"
REFERENCES = {"mean": "the plain mean", "best_single": "the best single model"}


@dataclass(frozen=True)
class Contender:
    """A way to predict: `oof` is (N, C), `test` (T, C); parameters and flops are those of one network, else None."""

    kind: str
    name: str
    seed: int | None
    oof: np.ndarray
    test: np.ndarray
    parameters: int | None = None
    flops: int | None = None


def contenders(members: Members, stack_oof: dict, stack_test: dict, records: Sequence[dict]) -> list[Contender]:
    """All rows of the leaderboard: models (averaged over seeds), their seeds, blends, stacks.

    The test prediction of a model or seed is the mean over the folds' networks.

    Args:
        stack_oof, stack_test: {method: (N, C)} and {method: (T, C)} by the methods of stacking.METHODS.
        records: the run.json of every run.
    """
    sizes = {key[0]: (run["parameters"], run["flops"]) for key, run in _by_run(members, records).items()}
    oof = dict(zip(members.models, members.seed_averaged_oof(), strict=True))
    test = dict(zip(members.models, members.seed_averaged_test().mean(axis=1), strict=True))
    rows = [Contender("model", model, None, oof[model], test[model], *sizes[model]) for model in members.models]
    for model, seed in members.oof:
        values = members.oof[model, seed], members.test[model, seed].mean(axis=0)
        rows.append(Contender("seed", model, seed, *values, *sizes[model]))
    for kind, methods in (("blend", BLENDS), ("stack", STACKS)):
        rows += [Contender(kind, method, None, stack_oof[method], stack_test[method]) for method in methods]
    return rows


def leaderboard(rows: Sequence[Contender], members: Members, config: dict) -> pd.DataFrame:
    """One row a contender, as in docs/reference/files.md; `config` is the block `evaluation`."""
    table = []
    for row in rows:
        entry = {"kind": row.kind, "name": row.name, "seed": row.seed}
        for part, labels, probabilities in _parts(row, members):
            figures = _figures(labels, probabilities, config)
            entry |= {f"{part}_{name}": value for name, value in figures.items()}
        table.append(entry | {"parameters": row.parameters, "flops": row.flops})
    frame = pd.DataFrame(table)
    whole = ["seed", "parameters", "flops"]
    return frame.astype(dict.fromkeys(whole, "Int64"))[
        ["kind", "name", "seed"] + [name for name in frame.columns if "_" in name] + ["parameters", "flops"]
    ]


def figures_by_name(rows: Sequence[Contender], members: Members, records: Sequence[dict], config: dict) -> dict:
    """metrics.json: `model`, `blend`, `stack` by name, `seed` by name and seed, `runs`, `stack_against`, `verdict`."""
    tree = {kind: {} for kind in ("model", "seed", "blend", "stack")}
    for row in rows:
        entry = {"parameters": row.parameters, "flops": row.flops}
        for part, labels, probabilities in _parts(row, members):
            entry[part] = _figures(labels, probabilities, config) | {
                "per_class": metrics.per_class(labels, probabilities, members.classes),
                "confusion": metrics.confusion(labels, probabilities),
            }
        if row.kind == "seed":
            tree["seed"].setdefault(row.name, {})[str(row.seed)] = entry
        else:
            tree[row.kind][row.name] = entry
    against = stack_against(rows, members, config)
    return _without_nan(
        tree
        | {
            "classes": members.classes,
            "samples": {"train": len(members.labels), "test": len(members.test_labels)},
            "runs": run_figures(members, records),
            "stack_against": against,
            "verdict": verdict(against),
        }
    )


def run_figures(members: Members, records: Sequence[dict]) -> list[dict]:
    """Each run's own figures: one network on the fold that it never saw and on the test set."""
    known = _by_run(members, records)
    figures = []
    for (model, seed), oof in members.oof.items():
        for fold, test in enumerate(members.test[model, seed]):
            record, rows = known[model, seed, fold], members.folds == fold
            figures.append(
                {"model": model, "seed": seed, "fold": fold}
                | {key: record[key] for key in ("parameters", "flops")}
                | {
                    "oof": metrics.scores(members.labels[rows], oof[rows]),
                    "test": metrics.scores(members.test_labels, test),
                }
            )
    return figures


def stack_against(rows: Sequence[Contender], members: Members, config: dict) -> dict:
    """{reference: {part: paired bootstrap difference}}: the deployed stack less `mean` and `best_single`."""
    by_name = {row.name: row for row in rows if row.kind in ("blend", "stack")}
    result = {}
    for reference in REFERENCES:
        parts = zip(_parts(by_name[DEPLOYED], members), _parts(by_name[reference], members), strict=True)
        result[reference] = {
            part: metrics.accuracy_difference(labels, stacked, plain, config["bootstrap"], config["seed"])
            for (part, labels, stacked), (_, _, plain) in parts
        }
    return result


def verdict(against: dict) -> str:
    """One sentence: was the LightGBM stack worth it? Judged on the out-of-fold rows, never on the test set.

    The interval is over samples: how much the difference would change with other seeds or folds is not in it.
    """
    differences = {name: against[name]["oof"] for name in REFERENCES}
    clauses = [
        f"{100 * d['difference']:+.2f} points [{100 * d['low']:+.2f}, {100 * d['high']:+.2f}] against {REFERENCES[n]}"
        for n, d in differences.items()
    ]
    gains = [d["low"] > 0 for d in differences.values()]
    losses = [d["high"] < 0 for d in differences.values()]
    if all(gains):
        judgement = "Stacking was worth it"
    elif any(losses):
        kind = next(REFERENCES[name] for name, lost in zip(differences, losses, strict=True) if lost)
        judgement = f"Stacking lost to {kind}: prefer that"
    elif any(gains):
        kind = next(REFERENCES[name] for name, gained in zip(differences, gains, strict=True) if not gained)
        judgement = f"Stacking gained nothing over {kind}: within noise"
    else:
        judgement = "Stacking was not worth it: within noise"
    return f"{judgement} (OOF accuracy of the LightGBM stack: {'; '.join(clauses)})."


def _by_run(members: Members, records: Sequence[dict]) -> dict[tuple[str, int, int], dict]:
    """{(model, seed, fold): run.json}; raises FoldstackError where the run of a member is missing."""
    known = {(record["model"], record["seed"], record["fold"]): record for record in records}
    for (model, seed), predicted in members.test.items():
        for fold in range(len(predicted)):
            if (model, seed, fold) not in known:
                raise FoldstackError(f"The run.json of {model} with seed {seed}, fold {fold} is not among the inputs.")
    return known


def _parts(row: Contender, members: Members):
    return ("oof", members.labels, row.oof), ("test", members.test_labels, row.test)


def _figures(labels: np.ndarray, probabilities: np.ndarray, config: dict) -> dict[str, float]:
    low, high = metrics.accuracy_interval(labels, probabilities, config["bootstrap"], config["seed"])
    return metrics.scores(labels, probabilities) | {"accuracy_low": low, "accuracy_high": high}


def _without_nan(value):
    """The same tree with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
