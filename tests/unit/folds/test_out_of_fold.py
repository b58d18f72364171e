"""foldstack.oof and foldstack.members: what is joined, and which runs are refused."""

import numpy as np
import pytest
from fake_runs import CLASSES, MEMBERS, edit_record, experiment

from foldstack import tables
from foldstack.ensemble.members import read_members
from foldstack.errors import FoldstackError
from foldstack.files import read_json
from foldstack.folds import out_of_fold


def collect(made, model="small", seed=0):
    runs = [folder for folder in made.runs if folder.parts[-3:-1] == (model, f"seed{seed}")]
    return out_of_fold.collect(runs, made.folds, made.samples, dataset_of(made), made.summary, model, seed)


def dataset_of(made):
    return read_json(made.root / "data" / "dataset.json")


@pytest.mark.parametrize("selection", ["inner", "final"])
def test_every_sample_comes_from_the_run_of_its_fold(tmp_path, selection):
    made = experiment(tmp_path, selection=selection)
    joined, test = collect(made)
    assert joined["sample_id"].tolist() == sorted(made.folds["sample_id"])
    assert (joined.set_index("sample_id")["fold"] == made.folds.set_index("sample_id")["fold"]).all()
    for fold in range(3):
        source = tables.read_predictions(made.runs[fold] / "oof.parquet", CLASSES).set_index("sample_id")
        rows = joined[joined["fold"] == fold].set_index("sample_id")
        assert np.array_equal(
            tables.probabilities(rows, CLASSES), tables.probabilities(source.loc[rows.index], CLASSES)
        )
        assert np.array_equal(tables.logits(rows, CLASSES), tables.logits(source.loc[rows.index], CLASSES))
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
        ({"data_digest": "data-0"}, r"run\.json was made from other data than today's"),
        ({"folds_digest": "folds-0"}, r"run\.json was made from other folds than today's"),
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
    path = made.runs[1] / "oof.parquet"
    tables.write_predictions(spoil(tables.read_predictions(path, CLASSES), made), path, CLASSES)
    with pytest.raises(FoldstackError, match="fold 1 lacks"):
        collect(made)


def test_nan_and_a_row_twice_are_refused(tmp_path):
    made = experiment(tmp_path)
    path = made.runs[1] / "oof.parquet"
    frame = tables.read_predictions(path, CLASSES)
    for spoiled, message in (
        (frame.assign(prob_dog=np.float32("nan")), "not finite"),
        (frame.iloc[[0, *range(len(frame))]], "more than one row"),
    ):
        spoiled.to_parquet(path, index=False)
        with pytest.raises(FoldstackError, match=message):
            collect(made)


def write_members(made):
    oof_paths, test_paths = [], []
    for model, seeds in MEMBERS.items():
        for seed in seeds:
            joined, test = collect(made, model, seed)
            oof_paths.append(made.root / "oof" / model / f"seed{seed}.parquet")
            test_paths.append(made.root / "test" / model / f"seed{seed}.parquet")
            tables.write_predictions(joined, oof_paths[-1], CLASSES)
            tables.write_predictions(test, test_paths[-1], CLASSES, keys=("fold", "sample_id"))
    return oof_paths, test_paths


def test_members_are_seed_averaged_and_joined_by_id(tmp_path):
    made = experiment(tmp_path)
    members = read_members(*write_members(made), MEMBERS, made.samples, CLASSES)
    by_seed = [tables.probabilities(collect(made, "small", seed)[0], CLASSES) for seed in (0, 1)]
    assert members.models == ["small", "wide"]
    assert np.allclose(members.seed_averaged_oof()[0], np.mean(by_seed, axis=0), atol=1e-6)
    assert members.seed_averaged_test().shape == (2, 3, 30, 3)
    labels = made.samples.set_index("sample_id")["label"]
    assert np.array_equal(members.labels, labels.loc[members.sample_ids])
    assert np.array_equal(members.test_labels, labels.loc[members.test_ids])


def test_members_are_known_by_their_names_not_their_places(tmp_path):
    made = experiment(tmp_path)
    oof_paths, test_paths = write_members(made)
    expected = read_members(oof_paths, test_paths, MEMBERS, made.samples, CLASSES)
    found = read_members(oof_paths[::-1], test_paths, MEMBERS, made.samples, CLASSES)
    assert np.array_equal(found.seed_averaged_oof(), expected.seed_averaged_oof())
    assert not np.array_equal(found.oof["small", 0], found.oof["wide", 0])


@pytest.mark.parametrize("wrong", [lambda paths: paths[:-1], lambda paths: [paths[0], *paths[:-1]]])
def test_files_that_are_not_one_a_member_are_refused(tmp_path, wrong):
    made = experiment(tmp_path)
    oof_paths, test_paths = write_members(made)
    with pytest.raises(FoldstackError, match="not one each of the members"):
        read_members(oof_paths, wrong(test_paths), MEMBERS, made.samples, CLASSES)


def test_members_with_other_folds_are_refused(tmp_path):
    made = experiment(tmp_path)
    oof_paths, test_paths = write_members(made)
    frame = tables.read_predictions(oof_paths[2], CLASSES)
    frame["fold"] = np.roll(frame["fold"], 1)
    tables.write_predictions(frame, oof_paths[2], CLASSES)
    with pytest.raises(FoldstackError, match="other samples or folds"):
        read_members(oof_paths, test_paths, MEMBERS, made.samples, CLASSES)


def test_a_test_table_without_one_fold_is_refused(tmp_path):
    made = experiment(tmp_path)
    oof_paths, test_paths = write_members(made)
    frame = tables.read_predictions(test_paths[0], CLASSES, keys=("fold", "sample_id"))
    tables.write_predictions(frame[frame["fold"] != 1], test_paths[0], CLASSES, keys=("fold", "sample_id"))
    with pytest.raises(FoldstackError, match="3 folds"):
        read_members(oof_paths, test_paths, MEMBERS, made.samples, CLASSES)
