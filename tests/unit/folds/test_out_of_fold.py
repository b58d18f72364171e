"""foldstack.folds.out_of_fold: what is joined, and which runs are refused."""

import numpy as np
import pytest
from fake_runs import CLASSES, collect, dataset_of, edit_record, experiment

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.folds import out_of_fold


@pytest.mark.parametrize("selection", ["inner", "final"])
def test_every_sample_comes_from_the_run_of_its_fold(tmp_path, selection):
    made = experiment(tmp_path, selection=selection)
    joined, test = collect(made)
    assert joined["sample_id"].tolist() == sorted(made.folds["sample_id"])
    assert (joined.set_index("sample_id")["fold"] == made.folds.set_index("sample_id")["fold"]).all()
    for fold in range(3):
        source = tables.read_predictions(made.runs[fold] / "oof.arrow", CLASSES).set_index("sample_id")
        rows = joined[joined["fold"] == fold].set_index("sample_id")
        assert np.array_equal(tables.probabilities(rows), tables.probabilities(source.loc[rows.index]))
        assert np.array_equal(tables.logits(rows), tables.logits(source.loc[rows.index]))
    assert test.groupby("fold")["sample_id"].nunique().tolist() == [30, 30, 30]


def test_the_order_of_the_runs_does_not_matter(tmp_path):
    made = experiment(tmp_path)
    expected = collect(made)
    made.runs.reverse()
    for frame, reference in zip(collect(made), expected, strict=True):
        assert frame.equals(reference)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_digest": "data-0"}, r"run\.json was made from other data than the current ones"),
        ({"folds_digest": "folds-0"}, r"run\.json was made from other folds than the current ones"),
        ({"status": "failed"}, "'failed'"),
        ({"model": "wide"}, "run of wide"),
        ({"fold": 0}, "both runs of fold 0"),
        ({"selection_ids": "0" * 64}, "selection_ids"),
        ({"predicted_ids": "0" * 64}, "predicted_ids"),
    ],
)
def test_a_run_of_something_else_is_refused(tmp_path, changes, message):
    made = experiment(tmp_path)
    edit_record(made.runs[1], **changes)
    with pytest.raises(FoldstackError, match=message):
        collect(made)


def test_a_run_that_trained_on_its_own_fold_is_refused(tmp_path):
    made = experiment(tmp_path)
    edit_record(made.runs[1], train_ids=tables.ids_digest(made.folds["sample_id"]))
    with pytest.raises(FoldstackError, match="may have seen samples that it predicts"):
        collect(made)


def test_runs_that_swapped_their_folds_are_refused(tmp_path):
    made = experiment(tmp_path)
    edit_record(made.runs[0], fold=1)
    edit_record(made.runs[1], fold=0)
    with pytest.raises(FoldstackError, match="train_ids"):
        collect(made)


def test_a_missing_fold_is_refused(tmp_path):
    made = experiment(tmp_path)
    with pytest.raises(FoldstackError, match=r"folds \[0, 1\], expected 0 to 2"):
        out_of_fold.collect(made.runs[:2], made.folds, made.samples, dataset_of(made), made.summary)


def test_folds_of_another_data_set_are_refused(tmp_path):
    made = experiment(tmp_path)
    other = dataset_of(made) | {"digest": "data-2"}
    with pytest.raises(FoldstackError, match=r"folds\.json was made from other data"):
        out_of_fold.collect(made.runs[:3], made.folds, made.samples, other, made.summary)


def swap_one_id(frame, made):
    foreign = made.folds.loc[made.folds["fold"] == 0, "sample_id"].iloc[0]
    return frame.assign(sample_id=[foreign, *frame["sample_id"].iloc[1:]])


@pytest.mark.parametrize(
    "spoil", [lambda frame, _: frame.iloc[1:], swap_one_id], ids=["not predicted", "predicted by two folds"]
)
def test_a_sample_not_predicted_exactly_once_is_refused(tmp_path, spoil):
    made = experiment(tmp_path)
    path = made.runs[1] / "oof.arrow"
    tables.write_predictions(spoil(tables.read_predictions(path, CLASSES), made), path, CLASSES)
    with pytest.raises(FoldstackError, match=r"fold 1 has . missing or unexpected"):
        collect(made)


def test_nan_and_a_row_twice_are_refused(tmp_path, monkeypatch):
    made = experiment(tmp_path)
    path = made.runs[1] / "oof.arrow"
    frame = tables.read_predictions(path, CLASSES)
    for spoiled, message in (
        (tables.predictions(frame["sample_id"], np.full((len(frame), len(CLASSES)), np.nan)), "not finite"),
        (frame.iloc[[0, *range(len(frame))]], "more than one row"),
    ):
        with monkeypatch.context() as unchecked:
            unchecked.setattr(tables, "_check_keys", lambda *_: None)
            unchecked.setattr(tables, "_check_logits", lambda *_: None)
            tables.write_predictions(spoiled, path, CLASSES)
        with pytest.raises(FoldstackError, match=message):
            collect(made)
