"""What CONTRIBUTING.md promises: a metric that is one entry of METRICS is in every file and on every page."""

import json

import commands
import numpy as np
import pandas as pd
import pytest
from fake_evaluation import MADE_UP, run_all
from fake_experiments import write_experiment
from fake_runs import CLASSES

from foldstack import tables
from foldstack.evaluation.metrics import METRICS
from foldstack.report.leaderboard import read_leaderboard, render_leaderboard


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, MADE_UP.name, MADE_UP)
        yield run_all(tmp_path_factory.mktemp("experiment"))


def test_it_is_in_leaderboard_csv_and_in_metrics_json_with_its_interval(made):
    row = pd.read_csv(made.root / "evaluation/leaderboard.csv").iloc[-1]
    table = tables.read_predictions(made.root / "stack/oof.arrow", CLASSES, ("method", "sample_id"))
    table = table[table["method"] == row["name"]]
    labels = made.samples.set_index("sample_id")["label"].loc[table["sample_id"]].to_numpy()
    truth = tables.probabilities(table)[np.arange(len(labels)), labels]
    assert row["oof_made_up"] == pytest.approx(truth.mean(), abs=1e-5)
    figures = json.loads((made.root / "evaluation/metrics.json").read_text())
    entry = figures["stack"]["lightgbm"]["oof"]
    low, high = entry["intervals"]["made_up"]
    assert low < entry["made_up"] < high
    assert high - low == pytest.approx(2 * 1.96 * truth.std() / np.sqrt(len(truth)), rel=0.2)
    change = figures["differences"]["lightgbm"]["mean"]["test"]["made_up"]
    assert change["low"] <= change["difference"] <= change["high"]


def test_it_has_a_column_of_the_leaderboard(made):
    figures = json.loads((made.root / "evaluation/metrics.json").read_text())
    board = read_leaderboard(made.root / "evaluation/leaderboard.csv")
    page = render_leaderboard(board, figures)
    assert page.count(">Made-up metric</th>") == 2 * page.count("<table")
    for value in board["oof_made_up"]:
        assert f">{100 * value:.2f}</span>" in page
    assert "Made-up metric: 95 % interval" in page


def test_two_experiments_are_compared_by_it(made, tmp_path, capsys):
    write_experiment(tmp_path / "a", 0.6)
    write_experiment(tmp_path / "b", 0.9)
    commands.load("compare").main([str(tmp_path / "a"), str(tmp_path / "b"), "--resamples", "100"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "Made-up metric" in line)
    assert line.endswith("B is better")
