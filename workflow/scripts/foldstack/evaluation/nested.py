"""What nested cross-validation says about the estimate (`snakemake nested`).

Nested cross-validation: Varma & Simon, "Bias in error estimation when using cross-validation for model selection", BMC
Bioinformatics 7:91, 2006. A fold is predicted by a whole pipeline (folds, runs, stack) that was made without it.
"""

from collections.abc import Mapping

import numpy as np

from foldstack.evaluation import metrics, words
from foldstack.evaluation.bootstrap import Bootstrap, Scored, difference
from foldstack.evaluation.prediction import Table

SHOWN = ("accuracy", "log_loss")


def nested_scores(
    labels: np.ndarray, nested: Mapping[str, Table], oof: Mapping[str, Table], resamples: int, seed: int
) -> dict:
    """{method: {"nested", "oof", "difference": {metric: ...}}} from {method: (N, C)} of both.

    `nested` and `oof` hold each metric of SHOWN with its 95 % interval as `low` and `high`; `difference` is the OOF
    estimate less the nested one, paired.
    """
    found = {}
    for method in nested:
        outcomes = {
            name: metrics.outcome(labels, by_method[method], SHOWN)
            for name, by_method in (("nested", nested), ("oof", oof))
        }
        scored = Bootstrap(labels, resamples, seed).scored(outcomes)
        found[method] = {name: _with_intervals(each) for name, each in scored.items()}
        found[method]["difference"] = {metric: difference(scored["oof"], scored["nested"], metric) for metric in SHOWN}
    return found


def _with_intervals(scored: Scored) -> dict:
    reach = scored.intervals()
    return {
        metric: {"value": scored.scores[metric]} | dict(zip(("low", "high"), reach[metric], strict=True))
        for metric in SHOWN
    }


def nested_summary(scores: dict, deployed: str, samples: int) -> str:
    """A table for the terminal."""
    lines = [
        f"Nested: each of {samples:,} training samples predicted by a whole pipeline that never saw its fold.",
        "",
        f"{'':<14}{'nested accuracy':<24}{'OOF estimate':<24}{'OOF less nested, points':<26}",
    ]
    for method, entry in scores.items():
        cells = [words.interval(**entry[name]["accuracy"]) for name in ("nested", "oof")]
        change = words.change(entry["difference"]["accuracy"])
        lines.append(f"{method + '*' * (method == deployed):<14}{cells[0]:<24}{cells[1]:<24}{change}".rstrip())
    return "\n".join([*lines, "", "* is deployed; in brackets 95 % over samples.", ""])
