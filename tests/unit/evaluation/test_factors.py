"""foldstack.evaluation.factors: effects of a grid's factors, against plain arithmetic and a plain bootstrap."""

import numpy as np
import pytest

from foldstack.config import grid
from foldstack.evaluation import factors, metrics
from foldstack.evaluation.bootstrap import Bootstrap

CONFIG = {"bootstrap": 400, "seed": 3}
MODEL = {"architecture": "small_cnn"}
N = 300
LABELS = np.arange(N) % 3


def predictions(skill: float, seed: int) -> np.ndarray:
    """(N, 3) that are right with about the probability `skill`."""
    rng = np.random.default_rng(seed)
    chosen = np.where(rng.random(N) < skill, LABELS, (LABELS + 1) % 3)
    return 0.7 * np.eye(3)[chosen] + 0.1


def layout(design: str = "combinations") -> dict:
    spec = {"design": design, "model": MODEL, "factors": {"lr": [0.1, 0.2], "options.width": [1, 2, 3]}}
    return grid.layout({"g": spec})


def rows(table) -> dict:
    return {(row["factor"], row["level"]): row for row in table.to_dict("records")}


def test_a_main_effect_is_the_mean_over_pairs_that_are_alike_otherwise():
    probabilities = {
        f"g-lr0.{i}-width{j}": predictions(0.5 + 0.1 * i + 0.05 * j, 10 * i + j) for i in (1, 2) for j in (1, 2, 3)
    }
    found = rows(factors.effects(layout(), probabilities, LABELS, CONFIG))
    right = {name: np.mean(table.argmax(1) == LABELS) for name, table in probabilities.items()}
    level = found["lr", "0.2"]
    assert level["pairs"] == 3
    assert level["accuracy"] == pytest.approx(np.mean([right[f"g-lr0.2-width{j}"] for j in (1, 2, 3)]))
    expected = np.mean([right[f"g-lr0.2-width{j}"] - right[f"g-lr0.1-width{j}"] for j in (1, 2, 3)])
    assert level["accuracy_difference"] == pytest.approx(expected)
    assert level["accuracy_low"] < expected < level["accuracy_high"]
    assert found["options.width", "3"]["pairs"] == 2
    assert np.isnan(found["lr", "0.1"]["accuracy_difference"])
    assert len(found) == 5


def test_the_interval_is_that_of_a_paired_bootstrap():
    probabilities = {"g-baseline": predictions(0.6, 1), "g-lr0.2": predictions(0.8, 2)}
    spec = layout("one_at_a_time")
    found = rows(factors.effects(spec, probabilities, LABELS, CONFIG))
    outcomes = {model: metrics.outcome(LABELS, table) for model, table in probabilities.items()}
    scored = Bootstrap(LABELS, CONFIG["bootstrap"], CONFIG["seed"]).scored(outcomes)
    for measure in factors.MEASURES:
        between = scored["g-lr0.2"].drawn[measure] - scored["g-baseline"].drawn[measure]
        row = found["lr", "0.2"]
        assert [row[f"{measure}_low"], row[f"{measure}_high"]] == pytest.approx(np.percentile(between, [2.5, 97.5]))
    assert found["options.width", "2"]["pairs"] == 0
    assert found["lr", "0.1"]["pairs"] == 1  # the baseline model alone


def test_models_that_are_left_out_take_their_pairs_with_them():
    probabilities = {"g-lr0.1-width1": predictions(0.6, 1), "g-lr0.2-width1": predictions(0.6, 1)}
    probabilities["g-lr0.2-width2"] = predictions(0.9, 3)  # its twin is missing
    found = rows(factors.effects(layout(), probabilities, LABELS, CONFIG))
    assert found["lr", "0.2"]["pairs"] == 1
    assert found["lr", "0.2"]["accuracy_difference"] == found["lr", "0.2"]["accuracy_high"] == 0
    assert found["options.width", "2"]["pairs"] == 1
