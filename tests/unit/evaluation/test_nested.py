"""foldstack.evaluation.nested: scores are those of metrics, differences are paired."""

import fake_runs
import numpy as np
import pytest
from fake_methods import by_method, write_methods

import score_nested
from foldstack.evaluation import metrics, nested, resplit
from foldstack.files import read_json, write_json


def test_nested_scores_are_the_scores_with_paired_differences():
    labels = np.random.default_rng(0).integers(3, size=300)
    strict, oof = (by_method(labels, 3, seed, methods=("mean", "lightgbm")) for seed in (1, 2))
    found = nested.nested_scores(labels, strict, oof, 200, 0)
    for method, entry in found.items():
        for name, values in (("nested", strict), ("oof", oof)):
            score = metrics.scores(labels, values[method])
            for metric in nested.SHOWN:
                figures = entry[name][metric]
                assert figures["value"] == pytest.approx(score[metric])
                assert figures["low"] < figures["value"] < figures["high"]
    same = nested.nested_scores(labels, oof, oof, 200, 0)["mean"]["difference"]["accuracy"]
    assert same == {"difference": 0.0, "low": 0.0, "high": 0.0}
    text = nested.nested_summary(found, "lightgbm", len(labels))
    assert "lightgbm* " in text
    assert f"{100 * found['mean']['nested']['accuracy']['value']:.2f} [" in text


def test_each_fold_is_scored_by_the_table_that_was_made_without_it(tmp_path):
    made = fake_runs.experiment(tmp_path / "experiment")
    labels = resplit.training_labels(made.samples)
    fold_of = made.folds.set_index("sample_id")["fold"].loc[labels.index]
    oof = write_methods(tmp_path / "oof.arrow", labels.index, labels, fake_runs.CLASSES, seed=0)
    write_json(tmp_path / "stack.json", {"method": "lightgbm"})
    parts = []
    for fold in range(3):
        own = labels[fold_of == fold]
        parts.append(write_methods(tmp_path / f"test{fold}.arrow", own.index, own, fake_runs.CLASSES, seed=10 + fold))
    given = {"samples": made.root / "data/samples.parquet", "dataset": made.root / "data/dataset.json"}
    given |= {"folds": made.root / "folds/folds.parquet", "stack": tmp_path / "stack.json"}
    given |= {
        "stack_oof": tmp_path / "oof.arrow",
        "stack_test": [tmp_path / f"test{fold}.arrow" for fold in range(3)],
    }
    out = {"scores": tmp_path / "scores.json", "summary": tmp_path / "summary.txt"}
    fake_runs.run_script(score_nested.main, tmp_path, "score_nested", given, out, config={"bootstrap": 50, "seed": 0})
    found = read_json(out["scores"])["methods"]["mean"]
    right = sum(
        (part["mean"].argmax(axis=1) == labels[fold_of == fold].to_numpy()).sum() for fold, part in enumerate(parts)
    )
    assert found["nested"]["accuracy"]["value"] == pytest.approx(right / len(labels))
    accuracy = np.mean(oof["mean"].argmax(axis=1) == labels)
    assert found["oof"]["accuracy"]["value"] == pytest.approx(accuracy)
