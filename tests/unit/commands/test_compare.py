"""`make compare`: two finished experiments side by side, as a user types it."""

import json

import commands
import pytest
from fake_experiments import write_experiment

from foldstack.evaluation.metrics import METRICS

compare = commands.load("compare")


def test_both_parts_are_printed_and_the_verdict_knows_which_way_is_better(tmp_path):
    write_experiment(tmp_path / "a", 0.6)
    write_experiment(tmp_path / "b", 0.9, lr=0.02)
    done = commands.typed("compare", "a", "b", "--resamples", "100", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "models: lr of all  0.01 → 0.02" in done.stdout
    assert "paired, on the 300 samples" in done.stdout
    rows = {metric.title: metric for metric in METRICS.values() if metric.listed}
    lines = {title: line for line in done.stdout.splitlines() for title in rows if line.strip().startswith(title + " ")}
    assert set(lines) == set(rows)
    assert all(line.endswith("B is better") for line in lines.values()), "higher accuracy, lower log-loss"


def test_the_numbers_for_a_machine_are_json(tmp_path, capsys):
    write_experiment(tmp_path / "a", 0.6)
    write_experiment(tmp_path / "b", 0.9)
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b"), "--resamples", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["changes"] == []
    assert found["scores"]["metrics"]["accuracy"]["beyond_noise"] is True


def test_nothing_that_differs_and_no_common_sample_are_said(tmp_path, capsys):
    write_experiment(tmp_path / "a", 0.6)
    write_experiment(tmp_path / "b", 0.6, start=1000)
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b"), "--resamples", "100"]) == 0
    text = capsys.readouterr().out
    assert "Nothing differs in data, folds, models, stack, versions and code." in text
    assert "unpaired, since they share no sample with the same label: wide intervals" in text
    assert "within noise" in text


def test_a_long_value_is_cut_and_a_loss_is_said(tmp_path, capsys):
    write_experiment(tmp_path / "a", 0.9)
    write_experiment(tmp_path / "b", 0.6, augment={"policy": "x" * 50})
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b"), "--resamples", "100"]) == 0
    text = capsys.readouterr().out
    assert f"– → {'x' * 43}…\n" in text
    assert "B is worse" in text


def test_a_folder_without_a_finished_experiment_is_one_sentence(tmp_path):
    write_experiment(tmp_path / "a", 0.6)
    done = commands.typed("compare", "a", "nowhere", cwd=tmp_path)
    assert done.returncode != 0
    assert "nowhere holds no finished experiment" in done.stderr
    assert "Traceback" not in done.stderr
