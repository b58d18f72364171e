"""`snakemake leakcheck` on the digits: chance as it is, and an alarm with a leak in the code."""

import json

from project import stacker_scored_on_its_own_rows

from foldstack import tables


def test_shuffled_labels_score_at_chance_and_a_planted_leak_does_not(copy_of_finished):
    project = copy_of_finished
    assert project.planned() == set(), "the check changes nothing of the results themselves"
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


def test_nested_and_repeated_run_the_pipeline_once_a_fold_and_once_a_further_draw(finished):
    planned = finished.planned("nested", "repeated")
    checks = ["nested/fold0", "nested/fold1", "repeated/draw1", "repeated/draw2"]
    runs = {
        f"check_train_fold {check} {model} 0 {fold}" for check in checks for model in ("cnn", "vit") for fold in (0, 1)
    }
    found = {job for job in planned if job.startswith("check_train_fold")}
    assert {frozenset(job.split()) for job in found} == {frozenset(job.split()) for job in runs}
    assert {"hold_out_fold 0", "hold_out_fold 1", "keep_data 1", "keep_data 2"} <= planned
    assert {"score_nested", "score_repeated"} <= planned
    assert not planned & {"prepare_data", "train_fold cnn 0 0", "fit_stacker"}
