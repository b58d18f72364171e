"""How much a score varies with the seed and the fold, and what a further seed would likely change."""

import numpy as np

from foldstack.ensemble.members import Members
from foldstack.evaluation import metrics
from foldstack.evaluation.prediction import Prediction

MEASURES = ("accuracy", "brier", "log_loss")


def spread(seeds: dict[str, list[int]], scores: dict[tuple, dict], runs: list[dict]) -> dict:
    """{model: {metric: {`seeds`, `folds`, `seed_sd`, `fold_sd`}}}; an sd of one value is None.

    The metrics are those that each run is scored by.

    `seed_sd` is the sd over seeds of the score on all out-of-fold rows: what another seed would change. `fold_sd` is
    the sd over folds of the score on one fold, averaged over seeds: most of it comes from the few samples of a fold.

    Args:
        seeds: {model: its seeds}.
        scores: {contender: {metric: value}}, out of fold; a seed is the contender ("seed", model, seed).
        runs: `evaluate.run_figures`.
    """
    found: dict = {}
    for model, numbers in seeds.items():
        own = [run for run in runs if run["model"] == model]
        folds = sorted({run["fold"] for run in own})
        found[model] = {}
        for metric in own[0]["oof"]:
            by_fold = [np.mean([run["oof"][metric] for run in own if run["fold"] == fold]) for fold in folds]
            found[model][metric] = {
                "seeds": len(numbers),
                "folds": len(folds),
                "seed_sd": _sd([scores["seed", model, seed][metric] for seed in numbers]),
                "fold_sd": _sd(by_fold),
            }
    return found


def further_seed(members: Members, scores: dict[tuple, dict]) -> dict:
    """{model, and "mean" for the plain mean of all models: what one further seed would likely change}.

    The expected Brier score of a mean of n exchangeable predictions is exactly a + b / n, since it is a squared error.
    So from the mean score of single seeds s(1) and that of the mean of all S seeds s(S), one more seed is expected to
    change it by (s(S) - s(1)) / (S^2 - 1), and any number of them by (s(S) - s(1)) / (S - 1). For accuracy and log-loss
    the same law is an assumption.

    Args:
        scores: as in `spread`; a model is the contender ("model", model, None).

    Returns:
        A model's `seeds`, `further` and `limit` ({accuracy, brier, log_loss: change}); models with one seed are left
        out, and "mean" where models have unequal numbers of seeds.
    """
    found: dict = {}
    for model, numbers in members.seeds.items():
        alone = [scores["seed", model, seed] for seed in numbers]
        found |= _extrapolated(model, alone, scores["model", model, None])
    counts = {len(numbers) for numbers in members.seeds.values()}
    if len(counts) == 1 and counts != {1}:
        each = [
            [members.oof[model, numbers[i]] for model, numbers in members.seeds.items()] for i in range(counts.pop())
        ]
        alone = [metrics.scores(members.labels, Prediction(logits), MEASURES) for logits in each]
        together = metrics.scores(members.labels, Prediction([one for logits in each for one in logits]), MEASURES)
        found |= _extrapolated("mean", alone, together)
    return found


def _extrapolated(name: str, alone: list[dict], together: dict) -> dict:
    """{name: entry} from the scores of each of S seeds and of their mean; nothing for S = 1."""
    n = len(alone)
    if n < 2:
        return {}
    gained = {metric: together[metric] - np.mean([each[metric] for each in alone]) for metric in MEASURES}
    return {
        name: {
            "seeds": n,
            "further": {metric: float(value / (n**2 - 1)) for metric, value in gained.items()},
            "limit": {metric: float(value / (n - 1)) for metric, value in gained.items()},
        }
    }


def _sd(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
