"""foldstack.checks: samples are held out whole, scores are those of metrics, and bad draws are refused."""

import fake_runs
import numpy as np
import pandas as pd
import pytest

import hold_out_fold
import keep_data
import score_nested
import score_repeated
from foldstack import tables as stored
from foldstack.data import digest
from foldstack.ensemble import members
from foldstack.ensemble.stacking import METHODS as COMBINATIONS
from foldstack.errors import FoldstackError
from foldstack.evaluation import nested, repeated, resplit
from foldstack.evaluation.metrics import core_scores
from foldstack.files import read_json, write_json

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
    kept = resplit.hold_out(samples, folds, 1)
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
    for method, values in resplit.joined(parts, folds).items():
        assert np.array_equal(values, whole[method])


def test_nested_scores_are_the_scores_with_paired_differences(labels):
    strict, oof = tables(labels, 1), tables(labels, 2)
    found = nested.nested_scores(labels, strict, oof, 200, 0)
    for method, entry in found.items():
        for name, values in (("nested", strict), ("oof", oof)):
            score = core_scores(labels, values[method])
            for metric in nested.SHOWN:
                figures = entry[name][metric]
                assert figures["value"] == pytest.approx(score[metric])
                assert figures["low"] < figures["value"] < figures["high"]
    same = nested.nested_scores(labels, oof, oof, 200, 0)["mean"]["difference"]["accuracy"]
    assert same == {"difference": 0.0, "low": 0.0, "high": 0.0}
    text = nested.nested_summary(found, "lightgbm", len(labels))
    assert "lightgbm* " in text
    assert f"{100 * found['mean']['nested']['accuracy']['value']:.2f} [" in text


def test_repeated_scores_hold_each_draw(labels):
    draws = [tables(labels, seed) for seed in range(3)]
    found = repeated.repeated_scores(labels, draws)
    each = [core_scores(labels, draw["mean"])["accuracy"] for draw in draws]
    assert found["mean"]["accuracy"]["each"] == pytest.approx(each)
    assert found["mean"]["accuracy"]["sd"] == pytest.approx(np.std(each, ddof=1))
    assert f"{100 * np.mean(each):.2f} ± " in repeated.repeated_summary(found, "mean", 3)


def test_folds_that_cannot_be_drawn_anew_are_refused():
    with pytest.raises(FoldstackError, match=r"`nested` draws folds anew, and folds.strategy is predefined"):
        resplit.refuse_given_folds("nested", "predefined")
    resplit.refuse_given_folds("nested", "stratified")
    with pytest.raises(FoldstackError, match="Two draws of the folds are the same"):
        resplit.refuse_equal_folds(["a", "b", "a"])
    resplit.refuse_equal_folds(["a", "b"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return fake_runs.experiment(tmp_path_factory.mktemp("checks"))


def inputs(made, **more):
    found = {"samples": made.root / "data/samples.parquet", "dataset": made.root / "data/dataset.json"}
    return found | {"folds": made.root / "folds/folds.parquet"} | more


def write_methods(path, ids, labels, seed):
    """A table of all methods whose rows are right more often than not; returns it as {method: (N, C)}."""
    classes, rng = fake_runs.CLASSES, np.random.default_rng(seed)
    by_method = {}
    for method in COMBINATIONS:
        raw = rng.random((len(ids), len(classes))) + (np.arange(len(classes)) == labels[:, None])
        by_method[method] = raw / raw.sum(axis=1, keepdims=True)
    frame = members.methods_table(by_method, ids, classes)
    stored.write_predictions(frame, path, classes, keys=("method", "sample_id"))
    return by_method


@pytest.mark.parametrize(
    ("script", "rule", "kept"), [(hold_out_fold, "hold_out_fold", 120), (keep_data, "keep_data", 150)]
)
def test_the_data_of_a_check_agree_with_their_digest(made, tmp_path, script, rule, kept):
    out = {"samples": tmp_path / "samples.parquet", "dataset": tmp_path / "dataset.json"}
    own = {"wildcards": {"fold": "1"}, "config": {"strategy": "stratified"}}
    fake_runs.run_script(script.main, tmp_path, rule, inputs(made), out, **own)
    samples, dataset = stored.read_samples(out["samples"]), read_json(out["dataset"])
    digest.check_data(samples, dataset)
    assert len(samples) == kept
    if rule == "hold_out_fold":
        held_out = set(samples.loc[samples["split"] == "test", "sample_id"])
        assert held_out == set(made.folds.loc[made.folds["fold"] == 1, "sample_id"])
        refused = own | {"config": {"strategy": "predefined"}}
        with pytest.raises(SystemExit):
            fake_runs.run_script(script.main, tmp_path, rule, inputs(made), out, **refused)


def test_nested_and_repeated_read_the_tables_of_their_lines(made, tmp_path):
    labels = resplit.training_labels(made.samples)
    fold_of = made.folds.set_index("sample_id")["fold"].loc[labels.index]
    oof = write_methods(tmp_path / "oof.parquet", labels.index, labels.to_numpy(), 0)
    write_methods(tmp_path / "other.parquet", labels.index, labels.to_numpy(), 1)
    write_json(tmp_path / "stack.json", {"method": "lightgbm"})
    parts = []
    for fold in range(3):
        own = labels[fold_of == fold]
        parts.append(write_methods(tmp_path / f"test{fold}.parquet", own.index, own.to_numpy(), 10 + fold))
    common = {"stack": tmp_path / "stack.json", "stack_oof": tmp_path / "oof.parquet"}
    given = inputs(made, stack_test=[tmp_path / f"test{fold}.parquet" for fold in range(3)], **common)
    out = {"scores": tmp_path / "scores.json", "summary": tmp_path / "summary.txt"}
    config = {"bootstrap": 50, "seed": 0}
    fake_runs.run_script(score_nested.main, tmp_path, "score_nested", given, out, config=config)
    found = read_json(out["scores"])["methods"]["mean"]
    right = sum(
        (part["mean"].argmax(axis=1) == labels[fold_of == fold].to_numpy()).sum() for fold, part in enumerate(parts)
    )
    assert found["nested"]["accuracy"]["value"] == pytest.approx(right / len(labels))
    assert found["oof"]["accuracy"]["value"] == pytest.approx(core_scores(labels.to_numpy(), oof["mean"])["accuracy"])

    write_json(tmp_path / "folds.json", {"digest": "another draw"})
    draws = [tmp_path / "oof.parquet", tmp_path / "other.parquet"]
    repeated = inputs(made, stack=tmp_path / "stack.json", stack_oof=draws)
    repeated |= {"folds_summary": made.root / "folds/folds.json", "other_folds": [tmp_path / "folds.json"]}
    fake_runs.run_script(score_repeated.main, tmp_path, "score_repeated", repeated, out)
    assert read_json(out["scores"])["draws"] == 2
    assert "lightgbm*" in out["summary"].read_text()
