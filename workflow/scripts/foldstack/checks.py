"""What the nested and the repeated line say about the estimate.

Nested cross-validation: Varma & Simon, "Bias in error estimation when using cross-validation for model selection", BMC
Bioinformatics 7:91, 2006. A fold is predicted by a whole line (folds, runs, stack) that was made without it.
"""

import numpy as np
import pandas as pd

from foldstack.bootstrap import Bootstrap, difference, intervals
from foldstack.errors import FoldstackError
from foldstack.metrics import core_scores

SHOWN = ("accuracy", "log_loss")


def refuse_given_folds(check: str, strategy: str) -> None:
    """Raise FoldstackError where the folds cannot be drawn anew."""
    if strategy == "predefined":
        raise FoldstackError(
            f"`{check}` draws folds anew, and folds.strategy is predefined; choose another strategy, or leave it out."
        )


def refuse_equal_folds(digests: list[str]) -> None:
    """Raise FoldstackError where two draws came out the same, so that they say nothing twice."""
    if len(set(digests)) < len(digests):
        raise FoldstackError(
            "Two draws of the folds are the same: the data allow too few; lower repeated.draws or folds.n_splits."
        )


def hold_out(samples: pd.DataFrame, folds: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The training samples, of which those of `fold` become the test split; samples.parquet in and out."""
    training = samples[samples["split"] == "train"].copy()
    out = training["sample_id"].isin(folds.loc[folds["fold"] == fold, "sample_id"])
    training.loc[out, "split"] = "test"
    return training.reset_index(drop=True)


def training_labels(samples: pd.DataFrame) -> pd.Series:
    """(N,) class indices of the training samples by `sample_id`, sorted by it."""
    return samples[samples["split"] == "train"].set_index("sample_id")["label"].sort_index()


def joined(parts: list[dict[str, np.ndarray]], folds: np.ndarray) -> dict[str, np.ndarray]:
    """{method: (N, C)} from one {method: (rows of fold k, C)} a fold."""
    whole = {method: np.empty((len(folds), values.shape[1])) for method, values in parts[0].items()}
    for fold, part in enumerate(parts):
        for method, values in part.items():
            whole[method][folds == fold] = values
    return whole


def nested_scores(labels: np.ndarray, nested: dict, oof: dict, resamples: int, seed: int) -> dict:
    """{method: {"nested", "oof", "difference": {metric: ...}}} from {method: (N, C)} of both.

    `nested` and `oof` hold each metric of SHOWN with its 95 % interval as `low` and `high`; `difference` is the OOF
    estimate less the nested one, paired.
    """
    found = {}
    for method in nested:
        tables = {"nested": nested[method], "oof": oof[method]}
        scores = {name: core_scores(labels, values) for name, values in tables.items()}
        drawn = Bootstrap(labels, resamples, seed).scores(tables, ranked=False)
        found[method] = {
            name: {
                metric: {"value": scores[name][metric]}
                | dict(zip(("low", "high"), intervals(scores[name], drawn[name])[metric], strict=True))
                for metric in SHOWN
            }
            for name in tables
        }
        found[method]["difference"] = {
            metric: difference(scores["oof"], scores["nested"], drawn["oof"], drawn["nested"], metric)
            for metric in SHOWN
        }
    return found


def nested_summary(scores: dict, deployed: str, samples: int) -> str:
    """A table for the terminal."""
    lines = [
        f"Nested: each of {samples:,} training samples predicted by a whole line that never saw its fold.",
        "",
        f"{'':<14}{'nested accuracy':<24}{'OOF estimate':<24}{'OOF less nested, points':<26}",
    ]
    for method, entry in scores.items():
        cells = [_interval(entry[name]["accuracy"], "value") for name in ("nested", "oof")]
        change = _interval(entry["difference"]["accuracy"], "difference", "+")
        lines.append(f"{method + '*' * (method == deployed):<14}{cells[0]:<24}{cells[1]:<24}{change}".rstrip())
    return "\n".join([*lines, "", "* is deployed; in brackets 95 % over samples.", ""])


def repeated_scores(labels: np.ndarray, draws: list[dict[str, np.ndarray]]) -> dict:
    """{method: {metric: {"each", "mean", "sd"}}} from one {method: (N, C)} a draw; the first is the line's own."""
    found: dict = {}
    for method in draws[0]:
        each = [core_scores(labels, draw[method]) for draw in draws]
        found[method] = {}
        for metric in SHOWN:
            values = [score[metric] for score in each]
            found[method][metric] = {"each": values, "mean": np.mean(values), "sd": np.std(values, ddof=1)}
    return found


def repeated_summary(scores: dict, deployed: str, draws: int) -> str:
    """A table for the terminal."""
    lines = [
        f"Repeated: the out-of-fold scores of {draws} draws of the folds, all else equal.",
        "",
        f"{'':<14}{'accuracy, mean ± sd':<22}{'lowest':<9}{'highest':<9}{'log-loss, mean ± sd':<22}",
    ]
    for method, entry in scores.items():
        accuracy, loss = entry["accuracy"], entry["log_loss"]
        cells = f"{100 * accuracy['mean']:.2f} ± {100 * accuracy['sd']:.2f}"
        ends = "".join(f"{100 * end(accuracy['each']):<9.2f}" for end in (min, max))
        name = method + "*" * (method == deployed)
        lines.append(f"{name:<14}{cells:<22}{ends}{loss['mean']:.4f} ± {loss['sd']:.4f}")
    return "\n".join([*lines, "", "* is deployed.", ""])


def _interval(entry: dict, key: str, sign: str = "") -> str:
    value, low, high = (100 * entry[name] for name in (key, "low", "high"))
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"
