"""foldstack.evaluation.repeated: what other draws of the folds score."""

import fake_runs
import numpy as np
import pytest
from fake_methods import by_method, write_methods

import score_repeated
from foldstack.evaluation import metrics, repeated, resplit
from foldstack.files import read_json, write_json


def test_repeated_scores_hold_each_draw():
    labels = np.random.default_rng(0).integers(3, size=300)
    draws = [by_method(labels, 3, seed) for seed in range(3)]
    found = repeated.repeated_scores(labels, draws)
    each = [metrics.scores(labels, draw["mean"])["accuracy"] for draw in draws]
    assert found["mean"]["accuracy"]["each"] == pytest.approx(each)
    assert found["mean"]["accuracy"]["sd"] == pytest.approx(np.std(each, ddof=1))
    assert f"{100 * np.mean(each):.2f} ± " in repeated.repeated_summary(found, "mean", 3)


def test_the_tables_of_all_draws_are_read(tmp_path):
    made = fake_runs.experiment(tmp_path / "experiment")
    labels = resplit.training_labels(made.samples)
    draws = [tmp_path / f"draw{number}.arrow" for number in range(2)]
    tables = [write_methods(path, labels.index, labels, fake_runs.CLASSES, seed) for seed, path in enumerate(draws)]
    write_json(tmp_path / "stack.json", {"method": "lightgbm"})
    write_json(tmp_path / "folds.json", {"digest": "another draw"})
    given = {"samples": made.root / "data/samples.parquet", "dataset": made.root / "data/dataset.json"}
    given |= {"folds": made.root / "folds/folds.parquet", "folds_summary": made.root / "folds/folds.json"}
    given |= {"stack": tmp_path / "stack.json", "stack_oof": draws, "other_folds": [tmp_path / "folds.json"]}
    out = {"scores": tmp_path / "scores.json", "summary": tmp_path / "summary.txt"}
    fake_runs.run_script(score_repeated.main, tmp_path, "score_repeated", given, out)
    found = read_json(out["scores"])
    assert found["draws"] == 2
    accuracies = [np.mean(table["greedy"].argmax(axis=1) == labels) for table in tables]
    assert found["methods"]["greedy"]["accuracy"]["each"] == pytest.approx(accuracies)
    assert "lightgbm*" in out["summary"].read_text()
