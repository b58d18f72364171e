"""The scripts collect_oof, fit_stacker and evaluate on a small experiment, and what the evaluation says."""

import json

import numpy as np
import pandas as pd
import pytest
from fake_evaluation import EVALUATION_FILES, KEYS, STACK_FILES, run_all
from fake_runs import CLASSES, MEMBERS, STACK, edit_record, experiment, run_script

import fit_stacker
from foldstack import tables
from foldstack.ensemble.members import read_members
from foldstack.ensemble.stacking import METHODS
from foldstack.errors import FoldstackError
from foldstack.evaluation import evaluate as evaluation
from foldstack.evaluation import metrics
from foldstack.report.summary import summary


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return run_all(tmp_path_factory.mktemp("experiment"))


def figures_of(made):
    return json.loads((made.root / "evaluation/metrics.json").read_text())


def exact(stored):
    """float64 rows that sum to 1 from stored float32."""
    return stored.astype(np.float64) / stored.astype(np.float64).sum(axis=1, keepdims=True)


def labels_of(made, split):
    rows = made.samples[made.samples["split"] == split]
    return rows.set_index("sample_id")["label"]


def test_the_stack_files_keep_their_contract(made):
    spec = json.loads((made.root / "stack/stack.json").read_text())
    assert spec["models"] == ["small", "wide"]
    assert spec["meta_features"][:4] == ["small__cat", "small__dog", "small__owl", "wide__cat"]
    assert (spec["n_splits"], spec["data_digest"], spec["folds_digest"]) == (
        3,
        made.summary["data_digest"],
        made.summary["digest"],
    )
    oof = tables.read_predictions(made.root / "stack/oof.arrow", CLASSES, keys=("method", "sample_id"))
    test = tables.read_predictions(made.root / "stack/test.arrow", CLASSES, keys=("method", "sample_id"))
    assert oof.groupby("method").size().to_dict() == dict.fromkeys(METHODS, 120)
    assert test.groupby("method").size().to_dict() == dict.fromkeys(METHODS, 30)
    assert list(oof.columns[:3]) == ["method", "sample_id", "fold"]


def test_the_leaderboard_scores_what_the_files_hold(made):
    board = pd.read_csv(made.root / "evaluation/leaderboard.csv")
    assert board["kind"].tolist() == ["model"] * 2 + ["seed"] * 3 + ["blend"] * 3 + ["stack"] * 3
    frames = [
        tables.read_predictions(made.root / f"test/small/seed{s}.arrow", CLASSES, ("fold", "sample_id")) for s in (0, 1)
    ]
    mean = (
        pd.concat([pd.DataFrame(tables.probabilities(f), index=f["sample_id"]) for f in frames]).groupby(level=0).mean()
    )
    expected = metrics.scores(labels_of(made, "test").loc[mean.index].to_numpy(), exact(mean.to_numpy()))
    row = board.iloc[0]
    assert {name: row[f"test_{name}"] for name in metrics.METRICS} == pytest.approx(expected, abs=1e-5, nan_ok=True)
    assert (row["name"], row["parameters"], row["flops"]) == ("small", 5000, 2_500_000)
    stack = tables.read_predictions(made.root / "stack/oof.arrow", CLASSES, ("method", "sample_id"))
    stack = stack[stack["method"] == "lightgbm"]
    hits = tables.probabilities(stack).argmax(axis=1) == labels_of(made, "train").loc[stack["sample_id"]]
    row = board.iloc[-1]
    assert row["oof_accuracy"] == pytest.approx(hits.mean(), abs=1e-6)
    assert row["oof_accuracy_low"] <= row["oof_accuracy"] <= row["oof_accuracy_high"]


def test_each_run_is_scored_on_its_own_fold(made):
    figures = figures_of(made)
    assert len(figures["runs"]) == 9
    run = next(r for r in figures["runs"] if (r["model"], r["seed"], r["fold"]) == ("small", 1, 2))
    frame = tables.read_predictions(made.root / "models/small/seed1/fold2/oof.arrow", CLASSES)
    labels = labels_of(made, "train").loc[frame["sample_id"]].to_numpy()
    expected = metrics.core_scores(labels, exact(tables.probabilities(frame)))
    assert run["oof"] == pytest.approx(expected, abs=1e-5)
    assert "seconds" not in run


def test_the_same_runs_give_the_same_bytes_whenever_they_were_made(made, tmp_path):
    again = experiment(tmp_path)
    for folder in again.runs:
        edit_record(folder, seconds=1e6, started="later", device="another")
    run_all(tmp_path)
    files = [f"stack/{name}" for name in STACK_FILES.values()]
    for name in files + [f"evaluation/{name}" for name in EVALUATION_FILES.values()]:
        assert (made.root / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_predictions_without_information_score_at_chance(tmp_path):
    figures = figures_of(run_all(tmp_path, informative=False, n_train=300, n_test=150))
    for kind in ("model", "blend", "stack"):
        for name, entry in figures[kind].items():
            for part, n in (("oof", 300), ("test", 150)):
                assert abs(entry[part]["accuracy"] - 1 / 3) < 4 * np.sqrt(2 / 9 / n), (name, part)
    assert figures["findings"]["worth"]["worth_it"] is False


def test_without_a_test_split_the_test_figures_are_empty(tmp_path):
    made = run_all(tmp_path, n_test=0)
    assert figures_of(made)["stack"]["lightgbm"]["test"]["accuracy"] is None
    assert pd.read_csv(tmp_path / "evaluation/leaderboard.csv")["test_accuracy"].isna().all()
    assert "0 test samples" in (tmp_path / "evaluation/summary.txt").read_text()


def test_the_summary_fits_the_terminal_and_holds_the_figures(made):
    text = (made.root / "evaluation/summary.txt").read_text()
    figures = figures_of(made)
    assert max(map(len, text.splitlines())) <= 100
    entry = figures["stack"]["lightgbm"]["oof"]
    assert f"{100 * entry['accuracy']:.2f} [{100 * entry['accuracy_low']:.2f}" in text
    accuracies = [100 * run["oof"]["accuracy"] for run in figures["runs"] if run["model"] == "small"]
    assert f"{np.mean(accuracies):.1f} ± {np.std(accuracies, ddof=1):.1f}" in text
    assert figures["verdict"].split(" (")[0] in " ".join(text.split())


def test_long_names_and_perfect_scores_keep_the_summary_narrow(made):
    figures = json.loads(json.dumps(figures_of(made)).replace('"small"', '"a_model_with_a_very_long_name_indeed"'))
    perfect = {"accuracy": 1.0, "accuracy_low": 1.0, "accuracy_high": 1.0}
    for kind in ("model", "blend", "stack"):
        for entry in figures[kind].values():
            entry["oof"] |= perfect
            entry["test"] |= perfect
    assert max(map(len, summary(figures).splitlines())) <= 100


def test_thresholds_of_many_classes_keep_the_summary_short(made):
    figures = figures_of(made)
    row = figures["thresholds"][0]
    rows = [row | {"class": f"class {i}", "oof": row["oof"] | {"recall": i / 500}} for i in range(500)]
    text = summary(figures | {"thresholds": rows})
    assert "the 20 classes of the lowest recall of 500" in text
    assert len(text.splitlines()) < 120
    assert "class 19 " in text
    assert "class 20 " not in text


def test_folds_that_changed_since_are_refused(made, tmp_path, capfd):
    moved = made.folds.assign(fold=np.roll(made.folds["fold"], 1))
    tables.write_folds(moved, tmp_path / "folds.parquet")
    root = made.root
    inputs = {part: [str(root / part / m / f"seed{s}.arrow") for m, s in KEYS] for part in ("oof", "test")}
    inputs |= {
        "samples": root / "data/samples.parquet",
        "dataset": root / "data/dataset.json",
        "duplicates": root / "data/duplicates.parquet",
        "folds": tmp_path / "folds.parquet",
        "folds_summary": root / "folds/folds.json",
    }
    outputs = {key: tmp_path / name for key, name in STACK_FILES.items()}
    config = {"stack": STACK, "members": MEMBERS}
    with pytest.raises(SystemExit):
        run_script(fit_stacker.main, tmp_path, "fit_stacker", inputs, outputs, config=config)
    assert "folds.parquet was changed after folds.json" in capfd.readouterr().err
    assert not outputs["stacker"].exists()


def test_a_missing_run_is_refused(made):
    records = [json.loads((folder / "run.json").read_text()) for folder in made.runs]
    paths = [[made.root / part / m / f"seed{s}.arrow" for m, s in KEYS] for part in ("oof", "test")]
    members = read_members(*paths, MEMBERS, made.samples, CLASSES)
    with pytest.raises(FoldstackError, match="wide with seed 0, fold 2"):
        evaluation.run_figures(members, records[:-1])
