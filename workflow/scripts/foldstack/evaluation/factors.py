"""What each factor of a grid changes: models that differ only in it, compared on the same out-of-fold rows."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from foldstack.evaluation import metrics
from foldstack.evaluation.bootstrap import Bootstrap, percentiles
from foldstack.evaluation.prediction import Table

MEASURES = ("accuracy", "log_loss")
COLUMNS = ["grid", "factor", "level", "baseline", "pairs", *MEASURES] + [
    f"{measure}_{part}" for measure in MEASURES for part in ("difference", "low", "high")
]


def effects(layout: dict, probabilities: Mapping[str, Table], labels: np.ndarray, config: dict) -> pd.DataFrame:
    """evaluation/factors.csv: one row a level of a factor, as in docs/reference/files.md.

    A level's difference is the mean over all pairs of models that differ only in this factor, one at the level and
    one at the baseline; its interval resamples the samples, the same ones for every model.

    Args:
        layout: of `grid.layout`; models without probabilities (left out, their runs failed) take no part.
        probabilities: {model: (N, C)}, out of fold; labels: (N,).
        config: the block `evaluation`.
    """
    values = {model: _by_sample(table, labels) for model, table in probabilities.items()}
    rows, changes = [], []
    for grid, spec in layout.items():
        for factor, level, baseline, pairs in _comparisons(spec, set(values)):
            row = {"grid": grid, "factor": factor, "level": level, "baseline": baseline, "pairs": len(pairs)}
            if pairs:
                row |= dict(zip(MEASURES, np.mean([values[own] for own, _ in pairs], axis=(0, 2)), strict=True))
            if pairs and level != baseline:
                changes.append((row, np.mean([values[own] - values[other] for own, other in pairs], axis=0)))
            rows.append(row)
    if changes:
        drawn = Bootstrap(labels, config["bootstrap"], config["seed"]).means(np.concatenate([by for _, by in changes]))
        for (row, by_sample), resampled in zip(changes, np.split(drawn, len(changes)), strict=True):
            for measure, change, sample in zip(MEASURES, by_sample.mean(axis=1), resampled, strict=True):
                low, high = percentiles(sample)
                row |= {f"{measure}_difference": change, f"{measure}_low": low, f"{measure}_high": high}
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_sample(table: Table, labels: np.ndarray) -> np.ndarray:
    """(2, N): right or wrong, and the negative log of the true class's probability."""
    found = metrics.outcome(labels, table, ["log_loss"])
    return np.stack([(found.predicted == labels).astype(np.float64), found.values["log_loss"]])


def _comparisons(spec: dict, present: set[str]) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    """(factor, level, baseline, [(model at the level, its twin at the baseline)]) of a grid, baselines first."""
    names = {tuple(levels.values()): model for model, levels in spec["models"].items() if model in present}
    for number, (factor, levels) in enumerate(spec["factors"].items()):
        found: dict[str, list[tuple[str, str]]] = {level: [] for level in levels}
        for chosen, model in names.items():
            twin = names.get((*chosen[:number], levels[0], *chosen[number + 1 :]))
            if chosen[number] != levels[0] and twin:
                found[chosen[number]].append((model, twin))
        # The baseline's own figures are those of the models that something is compared with.
        found[levels[0]] = [(twin, twin) for twin in sorted({twin for pairs in found.values() for _, twin in pairs})]
        yield from ((factor, level, levels[0], pairs) for level, pairs in found.items())
