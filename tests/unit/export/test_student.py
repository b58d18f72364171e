"""foldstack.export.student: what a student learns, and from which samples (its export: test_variants.py)."""

import numpy as np
import pytest
import training_inputs

from foldstack import tables
from foldstack.ensemble.members import methods_table
from foldstack.errors import FoldstackError
from foldstack.files import read_json
from foldstack.folds.split import split_ids
from foldstack.probabilities import log_probabilities

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
    logits = {name: log_probabilities(values) for name, values in frames.items()}
    table = methods_table(logits, train["sample_id"].to_numpy(), folds)
    tables.write_predictions(table, root / "oof.arrow", classes, ("method", "sample_id"))
    return given | {"soft_labels": (root / "oof.arrow", "mean")}


def test_a_student_learns_what_the_stack_said_from_every_sample_when_no_fold_is_held_out(inputs, tmp_path):
    settings = {"epochs": 6, "augmentation": "none", "options": {"width": 8}, "selection": "final"}
    out = training_inputs.train(inputs, tmp_path, fold=EVERYTHING, **settings)
    record = read_json(out["run"])
    folds, samples = tables.read_folds(inputs["folds"]), tables.read_samples(inputs["samples"])
    assert record["train_ids"] == tables.ids_digest(sorted(folds["sample_id"]))
    assert (record["n_train"], record["n_predicted"], record["predicted_ids"]) == (training_inputs.N_TRAIN, 0, None)
    assert len(tables.read_predictions(out["oof"], training_inputs.CLASSES)) == 0
    test = tables.read_predictions(out["test"], training_inputs.CLASSES).set_index("sample_id")
    labels = samples.set_index("sample_id").loc[test.index, "label"].to_numpy()
    assert np.mean(tables.probabilities(test).argmax(axis=1) != labels) > 0.7


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
