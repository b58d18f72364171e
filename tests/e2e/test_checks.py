"""`snakemake leakcheck nested repeated` on the digits: what they say, and an alarm with a leak in the code."""

import json

import pytest
from test_planted_leaks import stacker_scored_on_its_own_rows

from foldstack import tables


def test_shuffled_labels_score_at_chance_and_a_planted_leak_does_not(copy_of_finished):
    project = copy_of_finished
    assert project.planned() == set(), "the check changes nothing of the line itself"
    project.config["repeated"] = {"draws": 2}
    project.run("leakcheck", "nested", "repeated")
    look_at_nested(project.results)
    look_at_repeated(project.results)
    found = json.loads((project.results / "leakcheck" / "leakcheck.json").read_text())
    assert found["passed"]
    assert found["samples"] == 1438
    assert {"cnn seed 0", "vit seed 0", "mean", "lightgbm"} <= set(found["scores"])
    for score in found["scores"].values():
        assert score["low"] <= score["accuracy"] <= score["high"] < 0.14
        assert 0.09 < score["chance"] < 0.11
    one, other = (
        tables.read_samples(folder / "samples.parquet").set_index("sample_id")
        for folder in (project.results / "data", project.results / "leakcheck" / "data")
    )
    test = one["split"] == "test"
    assert (one["label"] == other["label"])[test].all()
    assert (one["label"] == other["label"])[~test].mean() < 0.14
    assert project.planned("leakcheck", "nested", "repeated") == set()
    assert project.planned() == set()

    stacker_scored_on_its_own_rows(project)
    done = project.run("leakcheck", check=False)
    assert done.returncode != 0
    assert "There is a leak: with shuffled labels lightgbm scores" in " ".join(done.stderr.split())


def look_at_nested(results):
    found = json.loads((results / "nested" / "nested.json").read_text())
    assert found["samples"] == 1438
    for entry in found["methods"].values():
        assert entry["nested"]["accuracy"]["low"] > 0.12
        between = entry["oof"]["accuracy"]["value"] - entry["nested"]["accuracy"]["value"]
        assert entry["difference"]["accuracy"]["difference"] == pytest.approx(between)
    folds = tables.read_folds(results / "folds" / "folds.parquet").set_index("sample_id")["fold"]
    for fold in (0, 1):
        own = tables.read_samples(results / "nested" / f"fold{fold}" / "data" / "samples.parquet")
        held_out = set(own.loc[own["split"] == "test", "sample_id"])
        assert held_out == set(folds.index[folds == fold])
        trained = set(tables.read_folds(results / "nested" / f"fold{fold}" / "folds" / "folds.parquet")["sample_id"])
        assert trained == set(folds.index) - held_out
    assert "lightgbm*" in (results / "nested" / "summary.txt").read_text()


def look_at_repeated(results):
    found = json.loads((results / "repeated" / "repeated.json").read_text())
    metrics = json.loads((results / "evaluation" / "metrics.json").read_text())
    for method, entry in found["methods"].items():
        own = (metrics["stack"] | metrics["blend"])[method]["oof"]["accuracy"]
        first, second = entry["accuracy"]["each"]
        assert first == pytest.approx(own)
        assert entry["accuracy"]["mean"] == pytest.approx((first + second) / 2)
    own, other = (
        tables.read_folds(folder / "folds" / "folds.parquet").set_index("sample_id")["fold"]
        for folder in (results, results / "repeated" / "draw1")
    )
    assert set(own.index) == set(other.index)
    assert 0.3 < (own == other.loc[own.index]).mean() < 0.7
