"""foldstack.evaluation.contribution and .variance: drop-one, budgets, seeds and folds apart, what a seed would buy."""

import itertools

import numpy as np
import pytest
from fake_runs import EVALUATION, STACK, noisy_probabilities

from foldstack import probabilities
from foldstack.ensemble import blending, stacking
from foldstack.ensemble.members import Members
from foldstack.evaluation import contribution, metrics, variance
from foldstack.probabilities import softmax

CLASSES = ["a", "b", "c"]


def members_of(strengths, n=300, n_classes=3, seeds=2, seed=0):
    """Members whose models are as strong as `strengths`; the seeds of a model differ by noise of their own."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    keys = [(f"m{i}", s) for i in range(len(strengths)) for s in range(seeds)]
    oof = {key: np.log(noisy_probabilities(labels, n_classes, strengths[int(key[0][1:])], rng)) for key in keys}
    return Members(
        seeds={f"m{i}": list(range(seeds)) for i in range(len(strengths))},
        classes=CLASSES[:n_classes],
        sample_ids=np.arange(n).astype(str),
        folds=rng.permutation(np.arange(n) % 4),
        labels=labels,
        test_ids=np.arange(0).astype(str),
        test_labels=labels[:0],
        oof=oof,
        test={key: np.zeros((4, 0, n_classes)) for key in keys},
    )


def stacked(members):
    oof, fixed = members.seed_averaged_oof(), (members.models, members.classes, STACK)
    spec, _ = stacking.fit_stack(oof, members.labels, members.folds, *fixed)
    crossed = stacking.cross_fit(oof, members.labels, members.folds, *fixed)
    return {name: metrics.outcome(members.labels, softmax(crossed[name])) for name in ("mean", "greedy")}, spec


def greedy(members, values):
    """Scores of the greedy blend of `values` (M, N, C), each fold by the weights of the others."""
    blend = np.empty(values.shape[1:])
    for fold in range(4):
        rest, held_out = members.folds != fold, members.folds == fold
        weights = blending.greedy_weights(blending.true_class(values, members.labels)[:, rest])
        blend[held_out] = np.tensordot(weights, values[:, held_out], axes=1)
    return metrics.scores(members.labels, blend)


def test_drop_one_equals_the_blend_of_the_others():
    members = members_of([2.0, 1.5, 0.0])
    found = contribution.drop_one(members, *stacked(members), EVALUATION)
    whole_greedy = greedy(members, members.seed_averaged_oof()[:])
    values = members.seed_averaged_oof()[:]
    for i, model in enumerate(members.models):
        rest = np.delete(values, i, axis=0)
        without, whole = (metrics.scores(members.labels, each.mean(axis=0)) for each in (rest, values))
        entry = found[model]["mean_without"]
        for metric in ("accuracy", "log_loss"):
            assert entry[metric]["difference"] == pytest.approx(without[metric] - whole[metric])
            assert entry[metric]["low"] <= entry[metric]["difference"] <= entry[metric]["high"]
        refit = greedy(members, rest)
        for metric, change in found[model]["greedy_without"].items():
            assert change["difference"] == pytest.approx(refit[metric] - whole_greedy[metric], abs=1e-6)
    assert found["m0"]["mean_without"]["accuracy"]["high"] < 0, "the strongest model is missed"
    assert found["m2"]["mean_without"]["log_loss"]["high"] < 0, "a model of noise is not"
    assert sum(entry["importance"] for entry in found.values()) == pytest.approx(1)
    assert max(found, key=lambda model: found[model]["importance"]) == "m0"


def test_one_model_alone_has_nothing_to_be_dropped():
    members = members_of([1.5])
    entry = contribution.drop_one(members, *stacked(members), EVALUATION)["m0"]
    assert (entry["weight"], entry["importance"], entry["mean_without"]) == (1, 1, None)


def test_fronts_hold_what_nothing_cheaper_beats():
    members = members_of([2.0, 1.0, 1.5])
    sizes = {"m0": (10, 5), "m1": (20, 1), "m2": (30, 2)}
    sizes = {name: dict(zip(("parameters", "flops"), pair, strict=True)) for name, pair in sizes.items()}
    rows = contribution.subsets(members, sizes, EVALUATION)
    assert len(rows) == 7
    assert next(row for row in rows if row["models"] == ["m0", "m2"])["parameters"] == (10 + 30) * 2 * 4
    for key, row in itertools.product(("parameters", "flops"), rows):
        better = [o for o in rows if o[key] <= row[key] and o["accuracy"] > row["accuracy"]]
        cheaper = [o for o in rows if o[key] < row[key] and o["accuracy"] >= row["accuracy"]]
        assert (key in row["fronts"]) == (not better and not cheaper)
    chosen = contribution.smallest(rows, "parameters")
    assert chosen["difference"]["high"] >= 0
    assert not [r for r in rows if r["parameters"] < chosen["parameters"] and r["difference"]["high"] >= 0]


def test_each_subset_is_the_plain_mean_of_its_models(monkeypatch):
    members = members_of([1.0, 0.5, 1.5, 0.8], n=90)
    monkeypatch.setattr(probabilities, "BLOCK_CELLS", 100)  # several blocks
    values, sizes = members.seed_averaged_oof()[:], {name: {"parameters": 1, "flops": 1} for name in members.models}
    rows = contribution.subsets(members, sizes, EVALUATION)
    assert len(rows) == 15
    for row in rows:
        table = values[[members.models.index(name) for name in row["models"]]].mean(axis=0)
        expected = metrics.scores(members.labels, table)
        assert (row["accuracy"], row["log_loss"]) == pytest.approx((expected["accuracy"], expected["log_loss"]))


def test_many_models_are_dropped_along_one_path():
    members = members_of([2.0] * 5 + [0.0] * 5, n=120, seeds=1)
    sizes = {name: {"parameters": 1, "flops": None} for name in members.models}
    rows = contribution.subsets(members, sizes, EVALUATION)
    assert sorted(len(row["models"]) for row in rows) == [1] * 10 + list(range(2, 11))
    five = next(row for row in rows if len(row["models"]) == 5)
    assert five["models"] == ["m0", "m1", "m2", "m3", "m4"]
    assert contribution.smallest(rows, "flops") is None
    assert all(row["flops"] is None and "flops" not in row["fronts"] for row in rows)


def test_seeds_and_folds_are_told_apart():
    """Seed 1 is worse in every fold, and fold 0 is hard for every seed: each sd shows its own cause alone."""
    folds, labels = np.repeat(np.arange(4), 25), np.zeros(100, int)
    right = np.ones((2, 100), bool)
    for seed, fold, wrong in [(0, 0, 10), (1, 0, 15), (1, 1, 5), (1, 2, 5), (1, 3, 5)]:
        right[seed, np.flatnonzero(folds == fold)[:wrong]] = False
    oof = {("m", s): np.log(np.where(right[s][:, None], [0.9, 0.1], [0.1, 0.9])) for s in (0, 1)}
    none = np.zeros((4, 0, 2))
    members = Members(
        {"m": [0, 1]}, ["a", "b"], np.arange(100).astype(str), folds, labels, np.arange(0), labels[:0], oof,
        {("m", 0): none, ("m", 1): none},
    )  # fmt: skip
    runs = [
        {
            "model": "m",
            "seed": s,
            "fold": k,
            "oof": metrics.core_scores(labels[folds == k], softmax(oof["m", s][folds == k])),
        }
        for s in (0, 1)
        for k in range(4)
    ]
    scores = {("seed", *key): metrics.scores(labels, softmax(values)) for key, values in oof.items()}
    entry = variance.spread(members.seeds, scores, runs)["m"]["accuracy"]
    assert entry["seed_sd"] == pytest.approx(np.std([0.9, 0.7], ddof=1))
    assert entry["fold_sd"] == pytest.approx(np.std([0.5, 0.9, 0.9, 0.9], ddof=1))
    assert (entry["seeds"], entry["folds"]) == (2, 4)


def test_the_brier_score_of_a_further_seed_is_foretold():
    """Of 40 seeds every pair foretells the third; on average that is what the third gives, since a + b / n is exact."""
    members = members_of([1.0], n=200, seeds=40)
    each = softmax(np.stack(list(members.oof.values())))

    def brier(values):
        return metrics.scores(members.labels, values)["brier"]

    foretold, given = [], []
    for i in range(0, 39, 3):
        pair = Members(**(vars(members) | {"seeds": {"m0": [i, i + 1]}}))
        scores = {("seed", "m0", s): metrics.scores(members.labels, each[s]) for s in (i, i + 1)}
        scores["model", "m0", None] = metrics.scores(members.labels, each[i : i + 2].mean(axis=0))
        further = variance.further_seed(pair, scores)["m0"]["further"]["brier"]
        foretold.append(further)
        given.append(brier(each[i : i + 3].mean(axis=0)) - brier(each[i : i + 2].mean(axis=0)))
    spread = np.std(np.subtract(given, foretold)) / np.sqrt(len(given))
    assert np.mean(given) < -5 * spread, "averaging helps"
    assert np.mean(foretold) == pytest.approx(np.mean(given), abs=3 * spread)


def test_one_seed_foretells_nothing_and_unequal_numbers_no_mean():
    assert variance.further_seed(*scored(members_of([1.0, 1.0], seeds=1))) == {}
    members = members_of([1.0, 1.0], seeds=3)
    assert set(variance.further_seed(*scored(members))) == {"m0", "m1", "mean"}
    unequal = Members(**(vars(members) | {"seeds": {"m0": [0, 1, 2], "m1": [0, 1]}}))
    assert set(variance.further_seed(*scored(unequal))) == {"m0", "m1"}


def scored(members):
    """The members, and the scores of their models and seeds."""
    averaged = dict(zip(members.models, members.seed_averaged_oof()[:], strict=True))
    scores = {("model", name, None): metrics.scores(members.labels, table) for name, table in averaged.items()}
    scores |= {("seed", *key): metrics.scores(members.labels, softmax(table)) for key, table in members.oof.items()}
    return members, scores
