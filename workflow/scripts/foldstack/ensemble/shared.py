"""LightGBM for many classes: one question for every class, learned once from all of them.

A row is a sample and a candidate: a class that is among the LEADING ones of some model, which gives it at least
`floor`. The booster corrects the log-linear pool's logit of that candidate, by FEATURES a model, whatever the number of
classes:

- the probability that the model gives to the candidate, not below `floor`;
- the same relative to the model's first choice;
- how often that class was true where the model's first choice was the one that it is here, as counted out of fold.
  In the rows that the booster is fitted on, these counts come from other parts of the rows; they are shrunk to the
  model's accuracy as by SMOOTHING samples.

The candidates share what the pool gives them; the other classes keep what the pool gives them. Without a split this is
the pool. The loss is that of a choice among the candidates (D. McFadden, Conditional Logit Analysis of Qualitative
Choice Behavior, 1974). A rank and an entropy of each model were tried as features and changed nothing
(docs/benchmarks/scale.md).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from foldstack.ensemble.per_class import common_parameters
from foldstack.ensemble.pool import logs, pooled
from foldstack.jobs.progress import stage, steps
from foldstack.probabilities import blocks, softmax

LEADING = 5
FEATURES = 3
SMOOTHING = 5.0
LEAVES = 15  # of each tree, where the config names no number
PARTS = 5  # of the rows, where they are of one fold
LEAST_HESSIAN = 1e-6
CELL = ("said", "true", "count")


@dataclass(frozen=True)
class Candidates:
    """The rows of some samples.

    Attributes:
        sample, label: (R,) the position of the sample and the candidate class, sorted by both.
        given: (R, M) float64, what each model gives to the candidate.
        highest, said: (N, M) each model's highest probability, and the class that has it.
    """

    sample: np.ndarray
    label: np.ndarray
    given: np.ndarray
    highest: np.ndarray
    said: np.ndarray

    def of(self, samples: np.ndarray) -> "Candidates":
        """The rows of the samples in a mask (N,), at their positions as before."""
        rows = samples[self.sample]
        return replace(self, sample=self.sample[rows], label=self.label[rows], given=self.given[rows])

    def logits(self, weights: np.ndarray) -> np.ndarray:
        """(R,) the pool's."""
        return logs(self.given) @ weights

    def counted(self, counts: np.ndarray) -> np.ndarray:
        """(R, M) the third feature, from `confusions`."""
        n_models, n_classes = counts.shape[:2]
        said, model = self.said[self.sample], np.arange(n_models)
        right = accuracy(counts)
        prior = np.where(said == self.label[:, None], right, (1 - right) / (n_classes - 1))
        found = counts[model, said, self.label[:, None]]
        return (found + SMOOTHING * prior) / (counts.sum(axis=2)[model, said] + SMOOTHING)

    def features(self, third: np.ndarray, floor: float) -> np.ndarray:
        """(R, M * FEATURES) float64, a model's features side by side."""
        relative = self.given / self.highest[self.sample]
        own = np.clip(np.stack([self.given, relative], axis=2), floor, 1)
        return np.concatenate([own, third[:, :, None]], axis=2).reshape(len(third), -1)


def leading(probabilities: np.ndarray, floor: float) -> np.ndarray:
    """(N, C) bool: the LEADING most probable classes of each row, of equal ones the first.

    Those below `floor` are left out, unless it is the most probable one.
    """
    n_rows, n_classes = probabilities.shape
    place = max(0, n_classes - LEADING)
    last = np.partition(probabilities, place, axis=1)[:, [place]]
    chosen = probabilities >= np.maximum(last, floor)
    chosen[np.arange(n_rows), probabilities.argmax(axis=1)] = True
    for row in np.flatnonzero(chosen.sum(axis=1) > LEADING):
        equal = np.flatnonzero(probabilities[row] == last[row])
        chosen[row, equal[LEADING - (probabilities[row] > last[row]).sum() :]] = False
    return chosen


def candidates(members: np.ndarray, floor: float) -> Candidates:
    """Of members (M, N, C)."""
    sample, label = np.nonzero(np.logical_or.reduce([leading(each, floor) for each in members]))
    return Candidates(sample, label, members[:, sample, label].T, members.max(axis=2).T, members.argmax(axis=2).T)


def collect(members, floor: float) -> Candidates:
    """The candidates of all rows, block by block, from members (M, N, C) that need not fit into memory."""
    n_models, n_rows, n_classes = members.shape
    parts = []
    for rows in steps(blocks(n_rows, n_models * n_classes), "looking for candidates"):
        part = candidates(members[:, rows], floor)
        parts.append(replace(part, sample=part.sample + rows.start))
    return Candidates(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Candidates)))


def confusions(said: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """(M, C, C) int64: how often a class (last axis) was true where a model's first choice was another (middle)."""
    counts = [np.bincount(each * n_classes + labels, minlength=n_classes**2) for each in said.T]
    return np.stack(counts).reshape(-1, n_classes, n_classes)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """(M,) how often a model's first choice was true, from `confusions`."""
    return np.trace(counts, axis1=1, axis2=2) / np.maximum(counts.sum(axis=(1, 2)), 1)


def predict(members: np.ndarray, weights: np.ndarray, counts: np.ndarray, floor: float, booster) -> np.ndarray:
    """(N, C) from members (M, N, C)."""
    chosen = candidates(members, floor)
    scores = booster.predict(chosen.features(chosen.counted(counts), floor), raw_score=True, num_threads=1)
    logits = np.full(members.shape[1:], -np.inf)
    logits[chosen.sample, chosen.label] = chosen.logits(weights) + scores
    rest = softmax(pooled(members, weights))
    rest[chosen.sample, chosen.label] = 0
    return softmax(logits) * (1 - rest.sum(axis=1, keepdims=True)) + rest


def parameters(config: dict) -> dict:
    """Parameters of `lightgbm.train`, but for its objective, which is a function."""
    return common_parameters(config, LEAVES)


def fit(
    whole: Candidates, labels: np.ndarray, folds: np.ndarray, rows: np.ndarray, weights: np.ndarray, n_classes: int,
    floor: float, settings: dict,
) -> tuple[str, np.ndarray]:  # fmt: skip
    """The booster's text and its counts, fitted on the samples `rows`, a mask (N,).

    Args:
        whole: of `collect`.
        labels, folds: (N,).
        weights: (M,) the pool's, fitted on these rows.
        settings: of `parameters`.
    """
    import lightgbm

    chosen = whole.of(rows)
    third = np.empty(chosen.given.shape)
    for part in _parts(rows, folds):
        counts = confusions(whole.said[rows & ~part], labels[rows & ~part], n_classes)
        third[part[chosen.sample]] = chosen.of(part).counted(counts)
    is_true = (chosen.label == labels[chosen.sample]).astype(np.float64)
    features, offset = chosen.features(third, floor), chosen.logits(weights)
    data = lightgbm.Dataset(features, is_true, init_score=offset, params={"verbosity": -1})
    with stage("boosting", settings["num_iterations"]) as step:
        settings = settings | {"objective": _choice(chosen.sample, is_true)}
        booster = lightgbm.train(settings, data, callbacks=[lambda _: step()])
    return booster.model_to_string(), confusions(whole.said[rows], labels[rows], n_classes)


def packed(counts: np.ndarray, models: Sequence[str]) -> dict:
    """`confusions` for stack.json: {model: the cells that are not 0, as texts of numbers}."""
    found = {}
    for model, of_model in zip(models, counts, strict=True):
        said, true = np.nonzero(of_model)
        columns = zip(CELL, (said, true, of_model[said, true]), strict=True)
        found[model] = {name: " ".join(map(str, values.tolist())) for name, values in columns}
    return found


def unpacked(found: dict, models: Sequence[str], n_classes: int) -> np.ndarray:
    """(M, C, C) int64, what `packed` was given; not to be written to."""
    return _unpacked(tuple(found[model][name] for model in models for name in CELL), n_classes)


@functools.lru_cache(maxsize=2)
def _unpacked(texts: tuple[str, ...], n_classes: int) -> np.ndarray:
    counts = np.zeros((len(texts) // len(CELL), n_classes, n_classes), np.int64)
    columns = iter([np.array(text.split(), np.int64) for text in texts])
    for of_model in counts:
        said, true, count = (next(columns) for _ in CELL)
        of_model[said, true] = count
    return counts


def _parts(rows: np.ndarray, folds: np.ndarray) -> list[np.ndarray]:
    """Masks that split `rows`: by fold, or where they are of one fold, in PARTS."""
    numbers = np.unique(folds[rows])
    if len(numbers) > 1:
        return [rows & (folds == number) for number in numbers]
    turn = np.cumsum(rows) % PARTS
    return [rows & (turn == number) for number in range(PARTS)]


def _choice(sample: np.ndarray, is_true: np.ndarray):
    """Gradient and Hessian of the log-loss of a softmax over each sample's candidates.

    Samples whose class is no candidate teach nothing.
    """
    starts = np.flatnonzero(np.diff(sample, prepend=-1))
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(sample))))
    known = np.add.reduceat(is_true, starts)[group] > 0

    def objective(scores: np.ndarray, _) -> tuple[np.ndarray, np.ndarray]:
        raised = np.exp(scores - np.maximum.reduceat(scores, starts)[group])
        share = raised / np.add.reduceat(raised, starts)[group]
        curvature = np.where(known, 2 * share * (1 - share), 0)
        return np.where(known, share - is_true, 0), np.maximum(curvature, LEAST_HESSIAN)

    return objective
