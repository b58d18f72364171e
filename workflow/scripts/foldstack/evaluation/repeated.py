"""What other draws of the folds say about the estimate (`snakemake repeated`)."""

from collections.abc import Mapping, Sequence

import numpy as np

from foldstack.evaluation import metrics
from foldstack.evaluation.nested import SHOWN
from foldstack.evaluation.prediction import Table


def repeated_scores(labels: np.ndarray, draws: Sequence[Mapping[str, Table]]) -> dict:
    """{method: {metric: {"each", "mean", "sd"}}} from one {method: (N, C)} a draw; the first is the experiment's."""
    found: dict = {}
    for method in draws[0]:
        each = [metrics.scores(labels, draw[method], SHOWN) for draw in draws]
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
