"""`snakemake leakcheck` on the digits: chance as it is, an alarm with a leak in the code."""

import json

from test_planted_leaks import stacker_scored_on_its_own_rows

from foldstack import tables


def test_shuffled_labels_score_at_chance_and_a_planted_leak_does_not(copy_of_finished):
    project = copy_of_finished
    assert project.planned() == set(), "the check changes nothing of the line itself"
    project.run("leakcheck")
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
    assert project.planned("leakcheck") == set()
    assert project.planned() == set()

    stacker_scored_on_its_own_rows(project)
    done = project.run("leakcheck", check=False)
    assert done.returncode != 0
    assert "There is a leak: with shuffled labels lightgbm scores" in " ".join(done.stderr.split())
