"""foldstack.folds.proof: data, folds and tables that do not belong together, or leak by themselves, are refused."""

import json

import numpy as np
import pytest
from fake_runs import CLASSES, duplicates, experiment, run_script

import collect_oof
from foldstack import tables
from foldstack.data import digest
from foldstack.errors import FoldstackError
from foldstack.files import read_json, write_json
from foldstack.folds import proof
from foldstack.folds.digest import folds_digest
from foldstack.folds.split import split_ids


@pytest.fixture
def made(tmp_path):
    return experiment(tmp_path)


def check(made, samples=None, near=None, folds=None, **changes):
    samples = made.samples if samples is None else samples
    folds = made.folds if folds is None else folds
    dataset = read_json(made.root / "data" / "dataset.json")
    dataset |= {"digest": digest.data_digest(samples, dataset)}
    summary = made.summary | {"data_digest": dataset["digest"], "digest": folds_digest(folds)} | changes
    proof.check_prepared(samples, dataset, duplicates() if near is None else near, folds, summary)


def across(made, column="fold"):
    """Ids of two training samples in different folds (or inner buckets of one fold)."""
    folds = made.folds if column == "fold" else made.folds[made.folds["fold"] == 0]
    first = folds.iloc[0]
    return first["sample_id"], folds.loc[folds[column] != first[column], "sample_id"].iloc[0]


def with_shared(made, column, value):
    samples = made.samples.copy()
    rows = samples["sample_id"].isin(across(made))
    samples[column] = samples[column].astype(object)
    samples.loc[rows, column] = samples.loc[rows, column].map(lambda _: value)
    return samples


def test_what_belongs_together_passes(made):
    check(made)
    inside = made.folds.groupby(["fold", "inner"])["sample_id"].apply(list).iloc[0]
    check(made, near=duplicates((inside[0], inside[1], 0.05)))


@pytest.mark.parametrize(("column", "value"), [("view_hashes", ["same"]), ("group", "patient 7")])
def test_a_duplicate_or_a_group_across_folds_is_refused(made, column, value):
    with pytest.raises(FoldstackError, match=r"belong together .* into fold 0 and [12]|into fold [12] and"):
        check(made, samples=with_shared(made, column, value))


@pytest.mark.parametrize(("column", "words"), [("fold", "into fold"), ("inner", "into inner bucket")])
def test_near_duplicates_across_folds_or_inner_buckets_are_refused(made, column, words):
    one, other = sorted(across(made, column))
    with pytest.raises(FoldstackError, match=words) as caught:
        check(made, near=duplicates((one, other, 0.05)))
    assert one in str(caught.value)
    assert other in str(caught.value)


def test_tables_that_were_changed_afterwards_are_refused(made):
    with pytest.raises(FoldstackError, match="was changed after folds"):
        check(made, digest="0" * 64)
    with pytest.raises(FoldstackError, match="was made from other data"):
        check(made, data_digest="0" * 64)
    with pytest.raises(FoldstackError, match="does not hold each training sample"):
        check(made, folds=made.folds.iloc[1:])
    dataset = read_json(made.root / "data" / "dataset.json")
    for column, value in (("label", 0), ("split", "train")):
        with pytest.raises(FoldstackError, match="was changed after dataset"):
            digest.check_data(made.samples.assign(**{column: value}), dataset)


def test_a_build_with_a_duplicate_across_folds_fails(made, capfd):
    """The same through the rule's script, its digests all made to agree."""
    root, samples = made.root, with_shared(made, "view_hashes", ["same"])
    dataset = read_json(root / "data" / "dataset.json")
    changed = digest.data_digest(samples, dataset)
    tables.write_samples(samples, root / "data" / "samples.parquet")
    write_json(root / "data" / "dataset.json", dataset | {"digest": changed})
    write_json(root / "folds" / "folds.json", made.summary | {"data_digest": changed})
    shared = {key: root / "data" / f"{key}.parquet" for key in ("samples", "duplicates")}
    shared |= {"dataset": root / "data" / "dataset.json", "folds": root / "folds" / "folds.parquet"}
    shared |= {"folds_summary": root / "folds" / "folds.json", "runs": [run / "run.json" for run in made.runs[:3]]}
    outputs = {key: root / key / "small" / "seed0.arrow" for key in ("oof", "test")}
    with pytest.raises(SystemExit):
        run_script(collect_oof.main, root, "collect_oof", shared, outputs, {"model": "small", "seed": 0})
    assert "belong together" in capfd.readouterr().err
    assert not outputs["oof"].exists()


@pytest.mark.parametrize("selection", ["inner", "final"])
def test_a_run_that_saw_what_its_fold_allows_passes_and_gives_what_it_predicts(made, selection):
    train, aside, held_out = split_ids(made.folds, 1, selection)
    record = {"train_ids": tables.ids_digest(train), "predicted_ids": tables.ids_digest(held_out)}
    record |= {"selection_ids": tables.ids_digest(aside) if aside else None}
    assert proof.check_ids(record, "run.json", made.folds, 1) == held_out
    for key, ids in (("train_ids", sorted(train + held_out)), ("selection_ids", held_out), ("predicted_ids", train)):
        with pytest.raises(FoldstackError, match=r"run\.json: \w+ is not the digest of what fold 1 allows"):
            proof.check_ids(record | {key: tables.ids_digest(ids)}, "run.json", made.folds, 1)
    with pytest.raises(FoldstackError, match="train_ids is not the digest of what fold 2 allows"):
        proof.check_ids(record, "run.json", made.folds, 2)


def test_a_run_of_all_samples_predicts_none(made):
    train, aside, _ = split_ids(made.folds, 3, "inner")
    record = {"train_ids": tables.ids_digest(train), "selection_ids": tables.ids_digest(aside), "predicted_ids": None}
    assert proof.check_ids(record, "run.json", made.folds, 3) == []


@pytest.fixture
def member(made):
    """A table of the stage oof with its proof."""
    rows = made.folds.sort_values("sample_id")
    frame = tables.predictions(rows["sample_id"], np.zeros((len(rows), 3)), fold=rows["fold"].to_numpy())
    path = made.root / "oof" / "small" / "seed0.arrow"
    records = [json.loads((run / "run.json").read_text()) for run in made.runs[:3]]

    def write(change=lambda made_from: made_from):
        tables.write_predictions(frame, path, CLASSES, proof=change(proof.of_runs(records)))
        return path

    return write


def check_member(made, path):
    return proof.check_member(path, read_json(made.root / "data" / "dataset.json"), made.folds, made.summary)


def test_a_table_carries_what_it_was_made_from(made, member):
    found = check_member(made, member())
    assert found["runs"]["2"]["predicted_ids"] == tables.ids_digest(
        made.folds.loc[made.folds["fold"] == 2, "sample_id"]
    )


def without_a_fold(made_from):
    del made_from["runs"]["1"]
    return made_from


def selected_on_the_scored_fold(made_from):
    made_from["runs"]["1"]["selection_ids"] = made_from["runs"]["1"]["predicted_ids"]
    return made_from


def without_what_a_run_predicted(made_from):
    made_from["runs"]["1"]["predicted_ids"] = None
    return made_from


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made_from: made_from | {"data_digest": "0"}, "other data than the current ones"),
        (lambda made_from: made_from | {"folds_digest": "0"}, "other folds than the current ones"),
        (without_a_fold, r"is of the folds \['0', '2'\]"),
        (
            selected_on_the_scored_fold,
            "selection_ids is not the digest of what fold 1 allows: .* may have seen samples that it predicts",
        ),
        (without_what_a_run_predicted, "predicted_ids is not the digest of what fold 1 allows"),
        (lambda made_from: None, "does not say what it was made from"),
    ],
)
def test_a_table_of_something_else_is_refused(made, member, change, words):
    with pytest.raises(FoldstackError, match=words):
        check_member(made, member(change))


def test_a_stack_on_other_tables_or_on_its_own_rows_is_refused(made, member):
    dataset, ids = read_json(made.root / "data" / "dataset.json"), made.folds["sample_id"]
    others = {str(fold): ids[made.folds["fold"] != fold] for fold in range(3)}
    oof, path = member(), made.root / "stack" / "oof.arrow"
    frame = tables.read_predictions(oof, CLASSES)

    def check_stack(fitted_on):
        made_from = proof.of_stack([oof], fitted_on, dataset, made.summary)
        tables.write_predictions(frame, path, CLASSES, proof=made_from)
        return proof.check_stack(path, [oof], dataset, made.folds, made.summary)

    assert set(check_stack(others)["fitted_on"]) == {"0", "1", "2"}
    for wrong in (others | {"1": ids}, others | {"1": others["2"]}):
        with pytest.raises(FoldstackError, match="fold 1 was not fitted on the rows of the other folds alone"):
            check_stack(wrong)
    with pytest.raises(FoldstackError, match="does not say"):
        check_stack({"0": others["0"]})
    check_stack(others)
    tables.write_predictions(frame.iloc[::-1], oof, CLASSES)
    with pytest.raises(FoldstackError, match="other tables than those in the folder oof"):
        proof.check_stack(path, [oof], dataset, made.folds, made.summary)
