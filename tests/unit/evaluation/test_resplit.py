"""foldstack.evaluation.resplit: a fold is held out whole, and folds that cannot be drawn anew are refused."""

import fake_runs
import numpy as np
import pandas as pd
import pytest
from fake_methods import by_method

import hold_out_fold
import keep_data
from foldstack import tables
from foldstack.data import digest
from foldstack.errors import FoldstackError
from foldstack.evaluation import resplit
from foldstack.files import read_json


def test_a_fold_becomes_the_test_split_and_the_old_one_goes():
    samples = pd.DataFrame({"sample_id": list("abcdef"), "split": ["train"] * 4 + ["test"] * 2, "label": range(6)})
    folds = pd.DataFrame({"sample_id": list("dcba"), "fold": [0, 1, 0, 1]})
    kept = resplit.hold_out(samples, folds, 1)
    assert kept[["sample_id", "split"]].to_numpy().tolist() == [
        ["a", "test"],
        ["b", "train"],
        ["c", "test"],
        ["d", "train"],
    ]
    assert list(samples["split"]) == ["train"] * 4 + ["test"] * 2


def test_each_row_comes_from_its_own_fold():
    labels = np.arange(300) % 3
    whole, folds = by_method(labels, 3, seed=1), np.arange(len(labels)) % 4
    parts = [{method: values[folds == fold] for method, values in whole.items()} for fold in range(4)]
    for method, values in resplit.joined(parts, folds).items():
        assert np.array_equal(values, whole[method])


def test_folds_that_cannot_be_drawn_anew_are_refused():
    with pytest.raises(FoldstackError, match=r"`nested` draws new folds, but folds.strategy is predefined"):
        resplit.refuse_given_folds("nested", "predefined")
    resplit.refuse_given_folds("nested", "stratified")
    with pytest.raises(FoldstackError, match="Two draws of the folds are the same"):
        resplit.refuse_equal_folds(["a", "b", "a"])
    resplit.refuse_equal_folds(["a", "b"])


@pytest.mark.parametrize(
    ("script", "rule", "kept"), [(hold_out_fold, "hold_out_fold", 120), (keep_data, "keep_data", 150)]
)
def test_the_data_of_a_check_agree_with_their_digest(tmp_path, script, rule, kept):
    made = fake_runs.experiment(tmp_path / "experiment")
    given = {"samples": made.root / "data/samples.parquet", "dataset": made.root / "data/dataset.json"}
    given |= {"folds": made.root / "folds/folds.parquet"}
    out = {"samples": tmp_path / "samples.parquet", "dataset": tmp_path / "dataset.json"}
    own = {"wildcards": {"fold": "1"}, "config": {"strategy": "stratified"}}
    fake_runs.run_script(script.main, tmp_path, rule, given, out, **own)
    samples, dataset = tables.read_samples(out["samples"]), read_json(out["dataset"])
    digest.check_data(samples, dataset)
    assert len(samples) == kept
    if rule == "hold_out_fold":
        held_out = set(samples.loc[samples["split"] == "test", "sample_id"])
        assert held_out == set(made.folds.loc[made.folds["fold"] == 1, "sample_id"])
        refused = own | {"config": {"strategy": "predefined"}}
        with pytest.raises(SystemExit):
            fake_runs.run_script(script.main, tmp_path, rule, given, out, **refused)
