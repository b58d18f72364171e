"""foldstack.evaluation.verdict: the words follow the intervals."""

import pytest

from foldstack.ensemble.stacking import BLENDS, METHODS
from foldstack.evaluation import verdict


def figures(accuracy, noise=0.01, deployed="lightgbm", without=None, subsets=None, further=None):
    """The part of metrics.json that the verdict reads; every difference has the interval ± noise."""

    def change(value, reach=noise):
        return {"difference": value, "low": value - reach, "high": value + reach}

    tree = {"blend": {}, "stack": {}, "model": {"a": {}, "b": {}}}
    for name in METHODS:
        tree["blend" if name in BLENDS else "stack"][name] = {"oof": {"accuracy": accuracy[name]}}
    differences = {
        name: {
            other: {"oof": {"accuracy": change(accuracy[name] - accuracy[other])}}
            for other in METHODS[: METHODS.index(name)]
        }
        for name in METHODS
    }
    without = {"a": -0.05, "b": 0.0} if without is None else without
    default = [(["a"], 10, 0.0), (["a", "b"], 30, 0.0)]
    part = {"before": {"ece": 0.04}, "after": {"ece": 0.01}}
    return tree | {
        "deployed": {"kind": "stack", "name": deployed},
        "differences": differences,
        "contribution": {model: {"mean_without": {"accuracy": change(value)}} for model, value in without.items()},
        "subsets": [
            {"models": models, "parameters": size, "flops": size, "accuracy": 0.9, "difference": change(gap)}
            for models, size, gap in subsets or default
        ],
        "further_seed": further or {},
        "calibration": {"temperature": 1.3, "oof": part},
    }


def level(**others):
    return dict.fromkeys(METHODS, 0.9) | others


@pytest.mark.parametrize(
    ("accuracy", "name", "highest"),
    [
        (level(), "best_single", "best_single"),
        (level(lightgbm=0.905), "best_single", "lightgbm"),
        (level(lightgbm=0.95), "lightgbm", "lightgbm"),
        (level(mean=0.945, greedy=0.95), "mean", "greedy"),
        (level(best_single=0.85, mean=0.85, lightgbm=0.85, greedy=0.895), "greedy", "pool"),
    ],
)
def test_the_simplest_within_noise_of_the_highest(accuracy, name, highest):
    found = verdict.simplest(figures(accuracy))
    assert (found["name"], found["highest"]) == (name, highest)
    assert f"within noise of the highest is {verdict.NAMES[name]}" in found["text"]
    assert ("`stack.method: " in found["text"]) == (name != "lightgbm")


@pytest.mark.parametrize(
    ("accuracy", "expected", "worth_it"),
    [
        (level(lightgbm=0.95), "Stacking was worth it", True),
        (level(lightgbm=0.95, mean=0.945), "Stacking gained nothing over the plain mean: within noise", False),
        (level(lightgbm=0.95, greedy=0.955), "Stacking gained nothing over the greedy blend: within noise", False),
        (level(), "Stacking was not worth it: within noise", False),
        (level(mean=0.95), "Stacking lost to the plain mean: prefer that", False),
        (level(lightgbm=0.95, greedy=0.99), "Stacking lost to the greedy blend: prefer that", False),
    ],
)
def test_whether_stacking_was_worth_it(accuracy, expected, worth_it):
    found = verdict.worth(figures(accuracy))
    assert found["text"].startswith(f"{expected} (OOF accuracy of the LightGBM stack: ")
    assert found["worth_it"] is worth_it


def test_the_stack_that_is_judged_is_the_deployed_one_or_lightgbm():
    accuracy = level(logistic=0.95)
    assert verdict.worth(figures(accuracy, deployed="logistic"))["worth_it"] is True
    assert verdict.worth(figures(accuracy, deployed="mean"))["name"] == "lightgbm"


def test_members_that_are_needed_spare_and_harmful():
    found = verdict.members(figures(level(), without={"a": -0.05, "b": 0.0, "c": 0.03, "d": -0.002}))
    assert (found["needed"], found["harmful"], found["spare"]) == (["a"], ["c"], ["b", "d"])
    assert "loses without a (-5.00 points [-6.00, -4.00])" in found["text"]
    assert "gains without c" in found["text"]
    assert "leaving out b, d changes it within noise, each alone" in found["text"]


def test_a_budget_keeps_what_is_within_noise():
    found = verdict.prune(figures(level()))
    assert found["parameters"] == found["flops"] == ["a"]
    assert "a alone would do for 33 % of the parameters and 33 % of the FLOPs" in found["text"]
    needed = [(["a"], 10, -0.05), (["a", "b"], 30, 0.0)]
    assert "no smaller set" in verdict.prune(figures(level(), subsets=needed))["text"]


def test_what_a_further_seed_would_buy():
    assert "is not known" in verdict.seeds(figures(level()))["text"]
    change = {"accuracy": 0.001, "brier": -0.002, "log_loss": -0.003}
    limit = {key: 3 * value for key, value in change.items()}
    entry = {"seeds": 2, "further": change, "limit": limit}
    text = verdict.seeds(figures(level(), further={"a": entry, "mean": entry}))["text"]
    assert "change the plain mean by +0.10 points of accuracy and -0.0020 of Brier score" in text
    assert "+0.30 and -0.0060" in text
    assert "A further seed of a would" in verdict.seeds(figures(level(), further={"a": entry}))["text"]


def test_the_verdict_is_the_two_sentences_that_matter_most():
    found = verdict.verdict(figures(level()))
    assert found["verdict"] == f"{found['findings']['simplest']['text']} {found['findings']['worth']['text']}"
    assert list(found["findings"]) == ["simplest", "worth", "members", "prune", "seeds", "calibration"]
    one = figures(level()) | {"model": {"a": {}}}
    assert list(verdict.verdict(one)["findings"]) == ["simplest", "seeds", "calibration"]
