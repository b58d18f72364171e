"""foldstack.checks: samples are held out whole, scores are those of metrics, and bad draws are refused."""

import numpy as np
import pandas as pd
import pytest

from foldstack import checks
from foldstack.errors import FoldstackError
from foldstack.metrics import core_scores

METHODS = ("mean", "lightgbm")


def tables(labels, seed):
    rng = np.random.default_rng(seed)
    found = {}
    for method in METHODS:
        raw = rng.random((len(labels), 3)) + 0.6 * (np.arange(3) == labels[:, None])
        found[method] = raw / raw.sum(axis=1, keepdims=True)
    return found


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(3, size=300)


def test_a_fold_becomes_the_test_split_and_the_old_one_goes():
    samples = pd.DataFrame({"sample_id": list("abcdef"), "split": ["train"] * 4 + ["test"] * 2, "label": range(6)})
    folds = pd.DataFrame({"sample_id": list("dcba"), "fold": [0, 1, 0, 1]})
    kept = checks.hold_out(samples, folds, 1)
    assert kept[["sample_id", "split"]].to_numpy().tolist() == [
        ["a", "test"],
        ["b", "train"],
        ["c", "test"],
        ["d", "train"],
    ]
    assert list(samples["split"]) == ["train"] * 4 + ["test"] * 2


def test_each_row_comes_from_its_own_fold(labels):
    whole, folds = tables(labels, 1), np.arange(len(labels)) % 4
    parts = [{method: values[folds == fold] for method, values in whole.items()} for fold in range(4)]
    for method, values in checks.joined(parts, folds).items():
        assert np.array_equal(values, whole[method])


def test_nested_scores_are_the_scores_with_paired_differences(labels):
    nested, oof = tables(labels, 1), tables(labels, 2)
    found = checks.nested_scores(labels, nested, oof, 200, 0)
    for method, entry in found.items():
        for name, values in (("nested", nested), ("oof", oof)):
            score = core_scores(labels, values[method])
            for metric in checks.SHOWN:
                figures = entry[name][metric]
                assert figures["value"] == pytest.approx(score[metric])
                assert figures["low"] < figures["value"] < figures["high"]
    same = checks.nested_scores(labels, oof, oof, 200, 0)["mean"]["difference"]["accuracy"]
    assert same == {"difference": 0.0, "low": 0.0, "high": 0.0}
    text = checks.nested_summary(found, "lightgbm", len(labels))
    assert "lightgbm* " in text
    assert f"{100 * found['mean']['nested']['accuracy']['value']:.2f} [" in text


def test_repeated_scores_hold_each_draw(labels):
    draws = [tables(labels, seed) for seed in range(3)]
    found = checks.repeated_scores(labels, draws)
    each = [core_scores(labels, draw["mean"])["accuracy"] for draw in draws]
    assert found["mean"]["accuracy"]["each"] == pytest.approx(each)
    assert found["mean"]["accuracy"]["sd"] == pytest.approx(np.std(each, ddof=1))
    assert f"{100 * np.mean(each):.2f} ± " in checks.repeated_summary(found, "mean", 3)


def test_folds_that_cannot_be_drawn_anew_are_refused():
    with pytest.raises(FoldstackError, match=r"`nested` draws folds anew, and folds.strategy is predefined"):
        checks.refuse_given_folds("nested", "predefined")
    checks.refuse_given_folds("nested", "stratified")
    with pytest.raises(FoldstackError, match="Two draws of the folds are the same"):
        checks.refuse_equal_folds(["a", "b", "a"])
    checks.refuse_equal_folds(["a", "b"])
