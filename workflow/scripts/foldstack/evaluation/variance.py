"""How much a score varies with the seed and the fold, and what a further seed would likely change."""

import numpy as np

from foldstack.ensemble.members import Members
from foldstack.evaluation import metrics
from foldstack.probabilities import softmax


def spread(members: Members, runs: list[dict]) -> dict:
    """{model: {metric: {`seeds`, `folds`, `seed_sd`, `fold_sd`}}}; an sd of one value is None.

    The metrics are those that each run is scored by.

    `seed_sd` is the sd over seeds of the score on all out-of-fold rows: what another seed would change. `fold_sd` is
    the sd over folds of the score on one fold, averaged over seeds: most of it comes from the few samples of a fold.

    Args:
        runs: `evaluation.run_figures`.
    """
    found = {}
    for model, seeds in members.seeds.items():
        by_seed = [metrics.core_scores(members.labels, softmax(members.oof[model, seed])) for seed in seeds]
        own = [run for run in runs if run["model"] == model]
        folds = sorted({run["fold"] for run in own})
        found[model] = {
            metric: {
                "seeds": len(seeds),
                "folds": len(folds),
                "seed_sd": _sd([each[metric] for each in by_seed]),
                "fold_sd": _sd([np.mean([r["oof"][metric] for r in own if r["fold"] == fold]) for fold in folds]),
            }
            for metric in by_seed[0]
        }
    return found


def further_seed(members: Members) -> dict:
    """{model, and "mean" for the plain mean of all models: what one further seed would likely change}.

    The expected Brier score of a mean of n exchangeable predictions is exactly a + b / n, since it is a squared error.
    So from the mean score of single seeds s(1) and that of the mean of all S seeds s(S), one more seed is expected to
    change it by (s(S) - s(1)) / (S^2 - 1), and any number of them by (s(S) - s(1)) / (S - 1). For accuracy and log-loss
    the same law is an assumption.

    Returns:
        A model's `seeds`, `further` and `limit` ({accuracy, brier, log_loss: change}); models with one seed are left
        out, and "mean" where models have unequal numbers of seeds.
    """
    found: dict = {}
    for model, seeds in members.seeds.items():
        found |= _extrapolated(model, np.stack([softmax(members.oof[model, seed]) for seed in seeds]), members.labels)
    numbers = {len(seeds) for seeds in members.seeds.values()}
    if len(numbers) == 1:
        single = [
            np.mean([softmax(members.oof[model, seeds[i]]) for model, seeds in members.seeds.items()], axis=0)
            for i in range(numbers.pop())
        ]
        found |= _extrapolated("mean", np.stack(single), members.labels)
    return found


def _extrapolated(name: str, single: np.ndarray, labels: np.ndarray) -> dict:
    """{name: entry} from (S, N, C) predictions, one a seed; nothing for S = 1."""
    n = len(single)
    if n < 2:
        return {}
    alone = [_scores(labels, each) for each in single]
    together = _scores(labels, single.mean(axis=0))
    gained = {metric: together[metric] - np.mean([each[metric] for each in alone]) for metric in together}
    return {
        name: {
            "seeds": n,
            "further": {metric: float(value / (n**2 - 1)) for metric, value in gained.items()},
            "limit": {metric: float(value / (n - 1)) for metric, value in gained.items()},
        }
    }


def _scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return metrics.scores(labels, probabilities, ("accuracy", "brier", "log_loss"))


def _sd(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
