"""The leaderboard, its intervals and the classes one by one: what is sorted, marked, deployed, unknown or damaged."""

import fake_report
import pytest
from drawn_report import Page, draw_all, experiment, texts

from foldstack.errors import FoldstackError
from foldstack.files import read_json, write_json
from foldstack.report import leaderboard, per_class
from foldstack.report.figures import calibration, confusion, pareto
from foldstack.report.figures import leaderboard as figure


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    experiment(root)
    return root, draw_all(root)


def test_leaderboard_is_sorted_by_oof_and_marks_the_best_of_each_column(drawn):
    root, made = drawn
    board = leaderboard.read_leaderboard(root / "evaluation/leaderboard.csv")
    ranked = leaderboard.ranked(board)
    assert "seed" not in set(ranked["kind"])
    assert ranked["oof_accuracy"].is_monotonic_decreasing
    page = Page(made["leaderboard.html"].read_text())
    places = [page.words.index(name) for name in ranked["name"]]
    assert places == sorted(places)
    shown = [
        (metric.higher_is_better, board.loc[board["kind"] != "seed", f"{part}_{metric.name}"].round(6))
        for part in ("oof", "test")
        for metric in leaderboard.columns()
    ]
    ties = sum(int((column == (column.max() if higher else column.min())).sum()) for higher, column in shown)
    assert page.marked == ties + 1  # and the word in the explanation
    assert f"{100 * ranked['test_accuracy'].iloc[0]:.2f}" in page.words
    assert {"Single seeds", "stack, deployed", "11.2M"} <= set(page.words)


def test_an_empty_test_split_leaves_dashes_not_errors(tmp_path):
    samples, dataset = fake_report.write_data(tmp_path, ["a", "b"], 30)
    samples = samples[samples["split"] == "train"]
    fake_report.write_evaluation(tmp_path, samples, dataset, models={"net": 0.9}, seeds=(0,))
    metrics = read_json(tmp_path / "evaluation/metrics.json")
    board = leaderboard.read_leaderboard(tmp_path / "evaluation/leaderboard.csv")
    page = Page(leaderboard.render_leaderboard(board, metrics))
    assert "–" in page.words
    assert "Single seeds" not in page.words  # one seed: nothing to add
    figure.draw_intervals(board, tmp_path / "intervals.svg")
    confusion.draw_confusion(metrics, tmp_path / "confusion.svg")
    calibration.draw_calibration(metrics, tmp_path / "calibration.svg")
    for name in ("confusion", "calibration"):
        assert not [text for text in texts(tmp_path / f"{name}.svg") if text.startswith("Test split")]
    assert "Test split" not in Page(per_class.render_per_class(metrics)).words


def test_what_is_deployed_is_what_is_shown(drawn, tmp_path):
    root, _ = drawn
    metrics = read_json(root / "evaluation/metrics.json") | {"deployed": {"kind": "blend", "name": "mean"}}
    confusion.draw_confusion(metrics, tmp_path / "confusion.svg")
    calibration.draw_calibration(metrics, tmp_path / "calibration.svg")
    for name in ("confusion", "calibration"):
        assert [text for text in texts(tmp_path / f"{name}.svg") if "the blend “mean”" in text]
    assert "The blend “mean”, class by class" in per_class.render_per_class(metrics)
    page = leaderboard.render_leaderboard(leaderboard.read_leaderboard(root / "evaluation/leaderboard.csv"), metrics)
    assert page.count("blend, deployed") == 1
    assert "stack, deployed" not in page


def test_costs_that_are_not_known_are_said_to_be(drawn, tmp_path):
    root, _ = drawn
    metrics = read_json(root / "evaluation/metrics.json")
    for row in metrics["subsets"]:
        row["flops"] = None
    pareto.draw_pareto(metrics, tmp_path / "one.svg")
    assert not [text for text in texts(tmp_path / "one.svg") if "FLOPs" in text]
    for row in metrics["subsets"]:
        row["parameters"] = None
    pareto.draw_pareto(metrics, tmp_path / "none.svg")
    assert "Parameters and FLOPs are not known." in texts(tmp_path / "none.svg")


def test_per_class_puts_the_weakest_first_and_names_its_mistake(tmp_path):
    samples, dataset = fake_report.write_data(tmp_path, ["easy", "hard", "absent"], 30)
    fake_report.write_evaluation(tmp_path, samples, dataset)
    metrics = read_json(tmp_path / "evaluation/metrics.json")
    metrics["stack"]["lightgbm"]["oof"]["per_class"]["f1"] = [0.9, 0.1, None]
    metrics["confusion"]["oof"] = {"true": [0, 0, 1, 1], "predicted": [0, 1, 0, 1], "count": [20, 4, 9, 10]}
    write_json(tmp_path / "evaluation/metrics.json", metrics)
    words = Page(per_class.render_per_class(metrics)).words
    names = [word for word in words if word in dataset["classes"]]
    assert names == ["hard", "easy", "easy", "hard", "absent"]  # each followed by what it is taken for
    assert {"9 of 19", "4 of 24"} <= set(words)


def test_a_damaged_leaderboard_is_named(tmp_path):
    path = tmp_path / "leaderboard.csv"
    with pytest.raises(FoldstackError, match=r"leaderboard\.csv cannot be read"):
        leaderboard.read_leaderboard(path)
    path.write_text("kind,name,seed,parameters,flops\n")
    with pytest.raises(FoldstackError, match=r"has no columns.*oof_accuracy"):
        leaderboard.read_leaderboard(path)
