"""The model card: the scores of what is deployed, and nothing of the machine that it was made on."""

import json

import pytest
from fake_evaluation import MADE_UP, run_all
from fake_runs import CLASSES

from foldstack.evaluation.metrics import METRICS
from foldstack.report.model_card import model_card

CONFIG = {"experiment": "birds | <b>", "data": {"path": "/somewhere/private", "test_path": None, "format": "npz"}}
GATE = {
    "samples": 30, "max_abs_difference": 1e-8, "label_flips": 0,
    "pipeline": {"max_abs_difference": 1e-7, "label_flips": 0, "members_max_abs_difference": 2e-7},
}  # fmt: skip
DATASET = {
    "task": "images", "classes": CLASSES, "image_size": [8, 8], "channels": 1, "quarantined": 0,
    "counts": {"train": {"cat": 40, "dog": 40, "owl": 20}, "test": {"cat": 10}},
    "duplicates": {"train": 1, "train_test": 0}, "near_duplicates": {"train": 2, "train_test": 0},
}  # fmt: skip
DESCRIBED = {
    "input": {"shape": ["batch", 8, 8, 1]}, "models": ["small", "wide"], "seeds": {"small": [0, 1], "wide": [0]},
    "n_splits": 3, "method": "lightgbm", "onnxruntime": "1.20", "channels": 1, "protocol": "Three folds.",
    "data_digest": "d1", "folds_digest": "f1", "config_digest": "c1", "code_digest": "x1",
}  # fmt: skip


def card(root, **changes):
    """The card of the experiment below `root`; `changes` are of metrics.json."""
    figures = json.loads((root / "evaluation/metrics.json").read_text()) | changes
    return model_card(figures, DATASET, DESCRIBED, GATE, CONFIG, "a1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return run_all(tmp_path_factory.mktemp("experiment")).root


def test_the_scores_are_those_of_what_is_deployed_with_their_intervals(made):
    rows = {line.split(" | ")[0].strip("| "): line for line in card(made).splitlines() if line.startswith("| ")}
    entry = json.loads((made / "evaluation/metrics.json").read_text())["stack"]["lightgbm"]
    for metric in METRICS.values():
        if not metric.listed:
            assert metric.title not in rows
            continue
        cells = [cell.strip() for cell in rows[metric.title].split("|")[2:-1]]
        expected = []
        for part in ("oof", "test"):
            low, high = entry[part]["intervals"][metric.name]
            expected += [f"{entry[part][metric.name]:.4f}", f"{low:.4f} to {high:.4f}"]
        assert cells == expected
    assert "| Out of fold | 95 % | Test split | 95 % |" in card(made)
    assert "For Log-loss and Brier score, lower is better." in card(made)


def test_a_new_metric_is_among_them(tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, MADE_UP.name, MADE_UP)
    assert "\n| Made-up metric | 0." in card(run_all(tmp_path).root)


def test_without_a_test_split_there_is_no_column_of_it_and_the_gate_is_of_training_samples(tmp_path):
    text = card(run_all(tmp_path, n_test=0).root)
    assert "| Out of fold | 95 % |" in text
    assert "Test split" not in text
    assert "No untouched test split" in text
    assert "agrees with its own out-of-fold predictions within 2.0e-07" in " ".join(text.split())


def test_many_classes_keep_the_card_short(made):
    names = [f"class {i}" for i in range(1000)]
    figures = json.loads((made / "evaluation/metrics.json").read_text())
    figures["stack"]["lightgbm"]["oof"]["per_class"] = {"f1": [i / 1000 for i in range(1000)]}
    counts = {"train": {name: 10 + i for i, name in enumerate(names)}, "test": dict.fromkeys(names, 7)}
    text = model_card(figures, DATASET | {"classes": names, "counts": counts}, DESCRIBED, GATE, CONFIG, "a1")
    assert len(text) < 8000
    assert "class 29 and 970 more; `classes` in the file’s metadata has all." in text
    assert "| class 0 | 10 | 7 |" in text
    assert "| class 999 | 1009 | 7 |" in text
    assert "| class 500 |" not in text
    assert "the median class has 509.5" in text
    assert "Weakest classes by out-of-fold F1: class 0 (0.00), class 1 (0.00)" in text
    assert "Strongest: class 999 (1.00), class 998 (1.00)" in text


def test_names_break_no_table_and_paths_stay_away(made):
    text = card(made)
    assert "# birds \\| &lt;b>: an image ensemble" in text
    assert "/somewhere" not in text
    assert "with `data.path` set to where the data are" in text


def test_what_is_incomplete_or_flattering_is_said_first(made):
    lost = [{"model": "wide", "seed": 1, "fold": 0, "reason": "out of memory"}]
    same = {"train": 0, "train_test": 4}
    top = card(made, left_out=lost, duplicates=same).partition("## Intended use")[0]
    assert "Incomplete: made without wide seed 1, whose runs failed." in top
    assert "4 pairs of equal images occur in both training and test data" in top
    assert "Incomplete" not in card(made)
