"""foldstack.student: what a student learns from, what it may not see, and how it is exported and scored."""

import fake_nets
import numpy as np
import onnx
import pandas as pd
import pytest
import training_inputs
from test_variants import make, verify

from foldstack import student, tables
from foldstack.errors import FoldstackError
from foldstack.folds import split_ids
from foldstack.jobs import read_json, write_json
from foldstack.members import methods_table
from foldstack.onnx_session import open_session, run_ensemble

EVERYTHING = training_inputs.N_SPLITS


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Training inputs with a teacher that says the opposite of the labels."""
    root = tmp_path_factory.mktemp("student")
    given = training_inputs.write_inputs(root / "data")
    samples = tables.read_samples(given["samples"])
    train = samples[samples["split"] == "train"]
    opposite = np.where(np.arange(2) == train["label"].to_numpy()[:, None], 0.02, 0.98)
    frames = {method: opposite if method == "mean" else opposite[:, ::-1] for method in ("mean", "lightgbm")}
    classes, folds = training_inputs.CLASSES, np.zeros(len(train), np.int64)
    table = methods_table(frames, train["sample_id"].to_numpy(), classes, folds)
    tables.write_predictions(table, root / "oof.parquet", classes, ("method", "sample_id"))
    return given | {"soft_labels": (root / "oof.parquet", "mean")}


def test_a_student_learns_what_the_stack_said_from_every_sample_when_no_fold_is_held_out(inputs, tmp_path):
    settings = {"epochs": 6, "augmentation": "none", "options": {"width": 8}, "selection": "final"}
    out = training_inputs.train(inputs, tmp_path, fold=EVERYTHING, **settings)
    record = read_json(out["run"])
    folds, samples = tables.read_folds(inputs["folds"]), tables.read_samples(inputs["samples"])
    assert record["train_ids"] == tables.ids_digest(sorted(folds["sample_id"]))
    assert (record["n_train"], record["n_predicted"], record["predicted_ids"]) == (training_inputs.N_TRAIN, 0, None)
    assert len(pd.read_parquet(out["oof"])) == 0
    test = tables.read_predictions(out["test"], training_inputs.CLASSES).set_index("sample_id")
    labels = samples.set_index("sample_id").loc[test.index, "label"].to_numpy()
    assert np.mean(tables.probabilities(test, training_inputs.CLASSES).argmax(axis=1) != labels) > 0.7


def test_one_fold_more_than_there_are_holds_nothing_out_but_no_further_one(inputs):
    folds = tables.read_folds(inputs["folds"])
    train, inner, held_out = split_ids(folds, EVERYTHING, "inner")
    assert sorted(train + inner) == sorted(folds["sample_id"])
    assert inner
    assert held_out == []
    with pytest.raises(FoldstackError):
        split_ids(folds, EVERYTHING + 1, "final")


def test_soft_labels_are_joined_by_id_and_a_missing_one_is_named(inputs):
    path, classes = inputs["soft_labels"][0], training_inputs.CLASSES
    ids = ["sample007", "sample002"]
    np.testing.assert_allclose(tables.soft_labels(path, "mean", ids, classes), [[0.98, 0.02], [0.02, 0.98]])
    with pytest.raises(FoldstackError, match="no prediction by mean for 'sample100'"):
        tables.soft_labels(path, "mean", [*ids, "sample100"], classes)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """An exported experiment with untrained students of both folds, and of all samples."""
    made = fake_nets.export(fake_nets.experiment(tmp_path_factory.mktemp("variants"), size=(12, 10)))
    made.students = [fake_nets.run(made, "cnn", 0, fold, made.root / "student" / f"fold{fold}") for fold in range(3)]
    return made


def test_the_student_is_served_like_the_ensemble_and_says_what_it_costs(original, tmp_path):
    candidate = make(original, tmp_path, "student", {"student": original.students[2:]})
    extra = {"students": original.students[:2], "stack": original.stack_stack, "stack_oof": original.stack_oof}
    report, path = verify(original, tmp_path, candidate, **extra)
    assert report["models"] == ["student"]
    assert report["oof"]["samples"] == 72
    assert report["oof"]["difference"]["low"] <= report["oof"]["difference"]["difference"]
    assert report["oof"]["full_accuracy"] > 0
    written = path if report["passed"] else candidate
    session, metadata = open_session(written)
    assert metadata["architectures"] == {"student": "small_cnn"}
    assert metadata["variant"]["kind"] == "student"
    assert "that were not fitted on it" in metadata["protocol"]
    shapes = {value.name for value in onnx.load(written).graph.output}
    assert shapes == {value.name for value in onnx.load(original.ensemble).graph.output}
    samples, pixels = tables.read_samples(original.samples), np.load(original.pixels)
    test = tables.read_predictions(original.root / "student" / "fold2" / "test.parquet", fake_nets.CLASSES)
    rows = samples.set_index("sample_id").loc[test["sample_id"], "row"]
    found = run_ensemble(session, pixels[rows])["probabilities"]
    np.testing.assert_allclose(found, tables.probabilities(test, fake_nets.CLASSES), atol=1e-5)


def test_without_a_test_split_the_students_own_folds_are_scored(original, tmp_path):
    samples = tables.read_samples(original.samples)
    train = samples[samples["split"] == "train"]
    tables.write_samples(train, tmp_path / "samples.parquet")
    candidate = make(original, tmp_path, "student", {"student": original.students[2:]})
    extra = {"students": original.students[:2], "stack": original.stack_stack, "stack_oof": original.stack_oof}
    report, _ = verify(original, tmp_path, candidate, samples=tmp_path / "samples.parquet", **extra)
    assert report["part"] == "oof"
    assert report["variant"]["accuracy"] == report["oof"]["accuracy"]


def test_a_student_that_learned_from_what_it_predicts_is_refused(original, tmp_path):
    folds = tables.read_folds(original.folds)
    ids, runs = sorted(folds["sample_id"]), original.students[:2]
    assert student.collect_oof(runs, folds, ids, fake_nets.CLASSES).shape == (72, 3)
    with pytest.raises(FoldstackError, match="each training sample once"):
        student.collect_oof(runs[:1], folds, ids, fake_nets.CLASSES)
    path = tmp_path / "run.json"
    write_json(path, read_json(runs[0]) | {"train_ids": tables.ids_digest(ids)})
    with pytest.raises(FoldstackError, match="it learned from or predicted other samples"):
        student.collect_oof([path], folds, ids, fake_nets.CLASSES)


def test_a_student_of_other_data_is_refused(original, tmp_path, capfd):
    path = tmp_path / "run.json"
    write_json(path, read_json(original.students[2]) | {"folds_digest": "other"})
    with pytest.raises(SystemExit):
        make(original, tmp_path, "student", {"student": [path]})
    assert "other data or folds than the stack" in capfd.readouterr().err
