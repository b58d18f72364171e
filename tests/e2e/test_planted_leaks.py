"""Leaks planted into a finished project, in its code or its files: each makes the build fail with one sentence."""

import json

import pandas as pd
import pytest
from project import LIBRARY, stacker_scored_on_its_own_rows

from foldstack import tables
from foldstack.data import digest
from foldstack.folds.digest import folds_digest


def early_stopping_on_the_scored_fold(project):
    project.edit(f"{LIBRARY}/training/inputs.py", '"selection": inner, "oof"', '"selection": held_out, "oof"')


def training_on_the_scored_fold(project):
    project.edit(f"{LIBRARY}/training/inputs.py", 'ids = {"train": train,', 'ids = {"train": sorted(train + held_out),')


def folds_mixed_up(project):
    runs = project.results / "models" / "cnn" / "seed0"
    for name in ("oof.arrow", "test.arrow"):
        one, other = (runs / f"fold{fold}" / name for fold in (0, 1))
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)


def oversampling_before_the_split(project):
    """Copies of the samples of one class under new names, as a step between the stages would add them."""
    path = project.results / "data" / "samples.parquet"
    samples = tables.read_samples(path)
    rare = samples[samples["label"] == 3]
    copies = rare.assign(sample_id=rare["sample_id"] + "-copy", view_hashes=[[f"{i}"] for i in range(len(rare))])
    tables.write_samples(pd.concat([samples, copies], ignore_index=True), path)


def oof_of_another_data_version(project):
    """The same ids and folds, but another digest of the data: only the table's own record can tell."""
    path = project.results / "oof" / "cnn" / "seed0.arrow"
    made_from = tables.read_proof(path) | {"data_digest": "0" * 64}
    classes = json.loads((project.results / "data" / "dataset.json").read_text())["classes"]
    tables.write_predictions(tables.read_predictions(path, classes), path, classes, proof=made_from)


def oof_of_other_folds(project):
    path = project.results / "oof" / "cnn" / "seed0.arrow"
    made_from = tables.read_proof(path) | {"folds_digest": "0" * 64}
    classes = json.loads((project.results / "data" / "dataset.json").read_text())["classes"]
    tables.write_predictions(tables.read_predictions(path, classes), path, classes, proof=made_from)


CNN = "results/tiny/oof/cnn/seed0.arrow"
SCORES = "results/tiny/evaluation/summary.txt"
PLANTED = {
    early_stopping_on_the_scored_fold: (CNN, "selection_ids is not the digest of what fold 0 allows"),
    training_on_the_scored_fold: (CNN, "train_ids is not the digest of what fold 0 allows"),
    folds_mixed_up: (CNN, "oof.arrow of fold 0 has 1438 missing or unexpected samples"),
    stacker_scored_on_its_own_rows: (SCORES, "the stack may be scored on its own rows"),
    oversampling_before_the_split: ("results/tiny/folds/folds.json", "samples.parquet was changed after dataset.json"),
    oof_of_another_data_version: (SCORES, "oof/cnn/seed0.arrow was made from other data than the current ones"),
    oof_of_other_folds: (SCORES, "oof/cnn/seed0.arrow was made from other folds than the current ones"),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_leak_fails_the_build(copy_of_finished, plant):
    target, sentence = PLANTED[plant]
    plant(copy_of_finished)
    done = copy_of_finished.run(target, check=False)
    assert done.returncode != 0
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stdout + done.stderr


def test_scores_say_what_they_were_made_from(finished):
    """metrics.json carries the digests of data, folds, tables, and the rows that each fold's stack was fitted on."""
    made_from = json.loads((finished.results / "evaluation" / "metrics.json").read_text())["proof"]
    folds = tables.read_folds(finished.results / "folds" / "folds.parquet")
    dataset = json.loads((finished.results / "data" / "dataset.json").read_text())
    samples = tables.read_samples(finished.results / "data" / "samples.parquet")
    assert made_from["data_digest"] == digest.data_digest(samples, dataset)
    assert made_from["folds_digest"] == folds_digest(folds)
    assert set(made_from["members"]) == {"cnn/seed0", "vit/seed0"}
    for fold in (0, 1):
        others = folds.loc[folds["fold"] != fold, "sample_id"]
        assert made_from["fitted_on"][str(fold)] == tables.ids_digest(others)
