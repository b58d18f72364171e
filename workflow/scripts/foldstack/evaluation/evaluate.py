"""Evaluation: every model, seed, blend and stack on the out-of-fold rows and on the test split.

Every choice (verdict, thresholds, temperature, members) is made on the out-of-fold rows; the test split is reported
only. Nothing here depends on when, where or how fast a run was made: an experiment gives the same bytes whether it
was interrupted or not. Contenders are read one after another, and of each only its `Outcome` is kept.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from foldstack.ensemble.members import Members
from foldstack.evaluation import by_class, calibration, contribution, metrics, variance, verdict
from foldstack.evaluation.bootstrap import Bootstrap, Scored, difference
from foldstack.evaluation.contenders import PARTS, Contender, by_run, kind_of
from foldstack.evaluation.outcome import Outcome
from foldstack.evaluation.prediction import Prediction
from foldstack.jobs.progress import steps


@dataclass(frozen=True)
class Evaluation:
    """The scores of all contenders; everything is computed once, when it is first asked for.

    Args:
        rows: of `contenders.contenders`.
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
    def outcomes(self) -> dict[str, dict[tuple, Outcome]]:
        """{part: {contender: Outcome}}."""
        found: dict[str, dict] = {part: {} for part in PARTS}
        for row in steps(self.rows, "scoring models, blends and stacks"):
            for part in PARTS:
                only = row.kind == "seed" and len(self.members.seeds[row.name]) == 1  # the model is that seed
                again = found[part].get(("model", row.name, None)) if only else None
                found[part][row.key] = again or metrics.outcome(self.truth[part], getattr(row, part))
        return found

    @cached_property
    def scored(self) -> dict[str, dict[tuple, Scored]]:
        """{part: {contender: Scored}}, by the same resamples."""
        resampling = self.config["bootstrap"], self.config["seed"]
        return {part: Bootstrap(self.truth[part], *resampling).scored(self.outcomes[part]) for part in PARTS}

    def figures(self, row: Contender, part: str) -> dict:
        """The scores of one contender with their `intervals`, `accuracy_low` and `accuracy_high`."""
        found = self.scored[part][row.key]
        reach = found.intervals()
        low, high = reach.get("accuracy", [float("nan")] * 2)
        return found.scores | {"accuracy_low": low, "accuracy_high": high, "intervals": reach}

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
        deployed = next(row for row in self.rows if row.key == self._key(self.spec["method"]))
        scores = {row.key: self.scored["oof"][row.key].scores for row in self.rows}
        blends = {name: self.outcomes["oof"][self._key(name)] for name in ("mean", "greedy")}
        sizes = {
            row.name: {"parameters": row.parameters, "flops": row.flops} for row in self.rows if row.kind == "model"
        }
        labels, test_labels = self.truth["oof"], self.truth["test"]
        figures = self._tree() | {
            "classes": self.members.classes,
            "samples": {"train": len(labels), "test": len(test_labels)},
            "seeds": self.members.seeds,
            "n_splits": int(self.members.folds.max()) + 1,
            "deployed": {"kind": deployed.kind, "name": deployed.name},
            "confusion": {part: by_class.confusion(self.outcomes[part][deployed.key]) for part in PARTS},
            "runs": runs,
            "spread": variance.spread(self.members.seeds, scores, runs),
            "further_seed": variance.further_seed(self.members, scores),
            "differences": self._differences(),
            "contribution": contribution.drop_one(self.members, blends, self.spec, self.config),
            "subsets": contribution.subsets(self.members, sizes, self.config),
            "calibration": calibration.before_and_after(
                labels, deployed.oof, self.members.folds, test_labels, deployed.test
            ),
            "thresholds": calibration.thresholds(
                labels,
                deployed.oof,
                test_labels,
                deployed.test,
                self.members.classes,
                target=self.config["thresholds"],
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
                found = self.outcomes[part][row.key]
                own = {"ece": calibration.expected_error(found), "per_class": by_class.per_class(found)}
                entry[part] = self.figures(row, part) | own
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
            one, other = self._key(name), self._key(simpler)
            found[name][simpler] = {
                part: {metric: difference(scored[one], scored[other], metric) for metric in listed}
                for part, scored in self.scored.items()
            }
        return found

    def _key(self, method: str) -> tuple:
        return kind_of(method), method, None


def run_figures(members: Members, records: Sequence[dict]) -> list[dict]:
    """Each run's own figures: one network on the fold that it never saw and on the test split."""
    known = by_run(members, records)
    figures = []
    for (model, seed), oof in steps(members.oof.items(), "scoring runs"):
        for fold, test in enumerate(members.test[model, seed]):
            record, rows = known[model, seed, fold], np.flatnonzero(members.folds == fold)
            figures.append(
                {"model": model, "seed": seed, "fold": fold}
                | {key: record[key] for key in ("parameters", "flops")}
                | {
                    "oof": metrics.core_scores(members.labels[rows], Prediction([oof[rows]])),
                    "test": metrics.core_scores(members.test_labels, Prediction([test])),
                }
            )
    return figures


def _without_nan(value):
    """The same tree with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
