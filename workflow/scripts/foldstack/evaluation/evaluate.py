"""Evaluation: every model, seed, blend and stack on the out-of-fold rows and on the test split.

Every choice (verdict, thresholds, temperature, members) is made on the out-of-fold rows; the test split is reported
only. Nothing here depends on when, where or how fast a run was made: an experiment gives the same bytes whether it
was interrupted or not.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from foldstack.ensemble.members import Members
from foldstack.ensemble.stacking import BLENDS, STACKS
from foldstack.errors import FoldstackError
from foldstack.evaluation import by_class, calibration, contribution, metrics, variance, verdict
from foldstack.evaluation.bootstrap import Bootstrap, difference, intervals
from foldstack.probabilities import softmax

PARTS = ("oof", "test")


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

    @property
    def key(self) -> tuple:
        return self.kind, self.name, self.seed


def contenders(members: Members, stack_oof: dict, stack_test: dict, records: Sequence[dict]) -> list[Contender]:
    """All rows of the leaderboard: models (averaged over seeds), their seeds, blends, stacks.

    The test prediction of a model or seed is the mean over the folds' networks.

    Args:
        stack_oof, stack_test: {method: (N, C)} and {method: (T, C)} logits by the methods of stacking.METHODS.
        records: the run.json of every run.
    """
    sizes = {key[0]: (run["parameters"], run["flops"]) for key, run in _by_run(members, records).items()}
    oof = dict(zip(members.models, members.seed_averaged_oof()[:], strict=True))
    test = dict(zip(members.models, members.seed_averaged_test()[:].mean(axis=1), strict=True))
    rows = [Contender("model", model, None, oof[model], test[model], *sizes[model]) for model in members.models]
    for model, seed in members.oof:
        values = softmax(members.oof[model, seed]), softmax(members.test[model, seed]).mean(axis=0)
        rows.append(Contender("seed", model, seed, *values, *sizes[model]))
    for kind, methods in (("blend", BLENDS), ("stack", STACKS)):
        rows += [
            Contender(kind, method, None, softmax(stack_oof[method]), softmax(stack_test[method]))
            for method in methods
            if method in stack_oof
        ]
    return rows


@dataclass(frozen=True)
class Evaluation:
    """The scores of all contenders; everything is computed once, when it is first asked for.

    Args:
        rows: of `contenders`.
        records: the run.json of every run.
        spec: stack.json.
        config: the block `evaluation`.
    """

    rows: list[Contender]
    members: Members
    records: Sequence[dict]
    spec: dict
    config: dict

    @cached_property
    def truth(self) -> dict[str, np.ndarray]:
        return {"oof": self.members.labels, "test": self.members.test_labels}

    @cached_property
    def scores(self) -> dict[str, dict]:
        """{part: {contender: {metric: value}}}."""
        return {
            part: {row.key: metrics.scores(self.truth[part], getattr(row, part)) for row in self.rows} for part in PARTS
        }

    @cached_property
    def resampled(self) -> dict[str, dict]:
        """{part: {contender: {metric: (R,)}}}; single seeds without the scores by rank, which take longest."""
        found: dict[str, dict] = {}
        for part in PARTS:
            draw = Bootstrap(self.truth[part], self.config["bootstrap"], self.config["seed"])
            groups = [
                {row.key: getattr(row, part) for row in self.rows if (row.kind == "seed") == s} for s in (False, True)
            ]
            found[part] = draw.scores(groups[0]) | draw.scores(groups[1], ranked=False)
        return found

    def figures(self, row: Contender, part: str) -> dict:
        """The scores of one contender with their `intervals`, `accuracy_low` and `accuracy_high`."""
        scores, nothing = self.scores[part][row.key], [float("nan")] * 2
        reach = intervals(scores, self.resampled[part][row.key])
        low, high = reach.get("accuracy", nothing)
        return scores | {"accuracy_low": low, "accuracy_high": high, "intervals": reach}

    def leaderboard(self) -> pd.DataFrame:
        """One row a contender, as in docs/reference/files.md."""
        table = []
        for row in self.rows:
            entry = {"kind": row.kind, "name": row.name, "seed": row.seed}
            for part in PARTS:
                figures = self.figures(row, part)
                entry |= {f"{part}_{name}": value for name, value in figures.items() if name != "intervals"}
            table.append(entry | {"parameters": row.parameters, "flops": row.flops})
        return pd.DataFrame(table).astype(dict.fromkeys(("seed", "parameters", "flops"), "Int64"))

    def by_name(self) -> dict:
        """metrics.json, as in docs/reference/files.md."""
        runs = run_figures(self.members, self.records)
        labels, oof, test_labels, test = self._deployed()
        stack_oof = {row.name: row.oof for row in self.rows if row.kind in ("blend", "stack")}
        sizes = {
            row.name: {"parameters": row.parameters, "flops": row.flops} for row in self.rows if row.kind == "model"
        }
        figures = self._tree() | {
            "classes": self.members.classes,
            "samples": {part: len(self.truth[key]) for part, key in (("train", "oof"), ("test", "test"))},
            "seeds": self.members.seeds,
            "n_splits": int(self.members.folds.max()) + 1,
            "deployed": {"kind": _kind(self.spec["method"]), "name": self.spec["method"]},
            "runs": runs,
            "spread": variance.spread(self.members, runs),
            "further_seed": variance.further_seed(self.members),
            "differences": self._differences(),
            "contribution": contribution.drop_one(self.members, stack_oof, self.spec, self.config),
            "subsets": contribution.subsets(self.members, sizes, self.config),
            "calibration": calibration.before_and_after(labels, oof, self.members.folds, test_labels, test),
            "thresholds": calibration.thresholds(
                labels, oof, test_labels, test, self.members.classes, target=self.config["thresholds"]
            ),
            "threshold_target": self.config["thresholds"],
        }
        return _without_nan(figures | verdict.verdict(figures))

    def _tree(self) -> dict:
        """`model`, `blend` and `stack` by name, `seed` by name and seed."""
        tree: dict = {kind: {} for kind in ("model", "seed", "blend", "stack")}
        for row in self.rows:
            entry: dict = {"parameters": row.parameters, "flops": row.flops}
            for part in PARTS:
                labels, probabilities = self.truth[part], getattr(row, part)
                entry[part] = self.figures(row, part) | {
                    "ece": calibration.reliability(labels, probabilities)["ece"],
                    "per_class": by_class.per_class(labels, probabilities, self.members.classes),
                    "confusion": by_class.confusion(labels, probabilities),
                }
            if row.kind == "seed":
                tree["seed"].setdefault(row.name, {})[str(row.seed)] = entry
            else:
                tree[row.kind][row.name] = entry
        return tree

    def _differences(self) -> dict:
        """{method: {simpler method: {part: {metric: paired difference}}}} for the metrics that are `listed`."""
        listed = [metric.name for metric in metrics.METRICS.values() if metric.listed]
        methods = [row.name for row in self.rows if row.kind in ("blend", "stack")]  # from the simplest, as in METHODS
        found: dict = {name: {} for name in methods}
        for simpler, name in itertools.combinations(methods, 2):
            found[name][simpler] = {
                part: {m: self._difference(name, simpler, part, m) for m in listed} for part in PARTS
            }
        return found

    def _difference(self, first: str, second: str, part: str, metric: str) -> dict:
        keys = [(_kind(name), name, None) for name in (first, second)]
        scores, drawn = ([table[part][key] for key in keys] for table in (self.scores, self.resampled))
        return difference(scores[0], scores[1], drawn[0], drawn[1], metric)

    def _deployed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """labels, oof, test labels and test of the method that is deployed."""
        row = next(row for row in self.rows if row.key == (_kind(self.spec["method"]), self.spec["method"], None))
        return self.truth["oof"], row.oof, self.truth["test"], row.test


def run_figures(members: Members, records: Sequence[dict]) -> list[dict]:
    """Each run's own figures: one network on the fold that it never saw and on the test split."""
    known = _by_run(members, records)
    figures = []
    for (model, seed), oof in members.oof.items():
        for fold, test in enumerate(members.test[model, seed]):
            record, rows = known[model, seed, fold], members.folds == fold
            figures.append(
                {"model": model, "seed": seed, "fold": fold}
                | {key: record[key] for key in ("parameters", "flops")}
                | {
                    "oof": metrics.core_scores(members.labels[rows], softmax(oof[rows])),
                    "test": metrics.core_scores(members.test_labels, softmax(test)),
                }
            )
    return figures


def _kind(method: str) -> str:
    return "blend" if method in BLENDS else "stack"


def _by_run(members: Members, records: Sequence[dict]) -> dict[tuple[str, int, int], dict]:
    """{(model, seed, fold): run.json}; raises FoldstackError where the run of a member is missing."""
    known = {(record["model"], record["seed"], record["fold"]): record for record in records}
    for (model, seed), predicted in members.test.items():
        for fold in range(len(predicted)):
            if (model, seed, fold) not in known:
                raise FoldstackError(f"The run.json of {model} with seed {seed}, fold {fold} is not among the inputs.")
    return known


def _without_nan(value):
    """The same tree with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
