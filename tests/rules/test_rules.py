"""One real job per rule, as Snakemake ran it on a tiny config; each output is checked for what it must hold."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from PIL import Image

from foldstack import tables
from foldstack.evaluation.metrics import METRICS

RUN = "models/cnn/seed0/fold1"


@pytest.fixture
def results(finished):
    return finished.results


@pytest.fixture
def classes(results):
    return json.loads((results / "data" / "dataset.json").read_text())["classes"]


def is_svg(path) -> bool:
    return ElementTree.parse(path).getroot().tag.endswith("svg")


def test_prepare_data(results, classes):
    samples = tables.read_samples(results / "data" / "samples.parquet")
    pixels = np.load(results / "data" / "pixels.npy", allow_pickle=False)
    assert pixels.shape == (1797, 8, 8, 1)
    assert pixels.dtype == np.uint8
    assert sorted(samples["row"]) == list(range(1797))
    assert samples["split"].value_counts().to_dict() == {"train": 1438, "test": 359}
    assert classes == [str(digit) for digit in range(10)]


def test_plot_data(results):
    assert is_svg(results / "data" / "class_counts.svg")
    with Image.open(results / "data" / "contact_sheet.png") as picture:
        assert min(picture.size) > 100


def test_assign_folds(results):
    folds = tables.read_folds(results / "folds" / "folds.parquet")
    samples = tables.read_samples(results / "data" / "samples.parquet")
    assert set(folds["sample_id"]) == set(samples.loc[samples["split"] == "train", "sample_id"])
    assert sorted(folds["fold"].unique()) == [0, 1]
    assert json.loads((results / "folds" / "folds.json").read_text())["n_splits"] == 2


def test_plot_folds(results):
    assert is_svg(results / "folds" / "folds.svg")


def test_train_fold(results, classes):
    record = json.loads((results / RUN / "run.json").read_text())
    assert (record["model"], record["seed"], record["fold"]) == ("cnn", 0, 1)
    assert record["config"]["options"] == {"width": 4}
    assert record["epochs_run"] == len(pd.read_csv(results / RUN / "history.csv")) == 2
    assert any(entry.startswith("foldstack/models/architectures/small_cnn.py@") for entry in record["code"])
    assert {"torch", "python"} <= set(record["versions"])
    folds = tables.read_folds(results / "folds" / "folds.parquet")
    oof = tables.read_predictions(results / RUN / "oof.arrow", classes)
    assert set(oof["sample_id"]) == set(folds.loc[folds["fold"] == 1, "sample_id"])
    assert (results / RUN / "weights.safetensors").stat().st_size > 1000
    assert not list((results / "work").rglob("*.pt")), "checkpoints of finished runs are removed"


def test_plot_curves_and_timings(results):
    assert is_svg(results / "evaluation" / "learning_curves.svg")
    assert is_svg(results / "evaluation" / "timings.svg")


def test_collect_oof(results, classes):
    oof = tables.read_predictions(results / "oof" / "cnn" / "seed0.arrow", classes)
    assert len(oof) == 1438
    assert oof["sample_id"].is_monotonic_increasing
    test = tables.read_predictions(results / "test" / "cnn" / "seed0.arrow", classes, keys=("sample_id", "fold"))
    assert test["fold"].value_counts().to_dict() == {0: 359, 1: 359}


def test_fit_stacker(results, classes):
    keys = ("method", "sample_id")
    oof = tables.read_predictions(results / "stack" / "oof.arrow", classes, keys=keys)
    test = tables.read_predictions(results / "stack" / "test.arrow", classes, keys=keys)
    methods = {"best_single", "mean", "greedy", "pool", "logistic", "lightgbm"}
    assert oof["method"].value_counts().to_dict() == dict.fromkeys(methods, 1438)
    assert test["method"].value_counts().to_dict() == dict.fromkeys(methods, 359)
    assert (results / "stack" / "stacker.txt").read_text().startswith("tree\n")


def test_evaluate(results):
    board = pd.read_csv(results / "evaluation" / "leaderboard.csv")
    assert {"cnn", "vit", "mean", "greedy", "logistic", "lightgbm", "best_single"} <= set(board["name"])
    assert board["oof_accuracy"].between(0, 1).all()
    assert board["test_accuracy"].between(0, 1).all()
    summary = (results / "evaluation" / "summary.txt").read_text()
    assert "FLOPs" in summary
    assert max(map(len, summary.splitlines())) <= 100


@pytest.mark.parametrize("name", ["leaderboard", "per_class"])
def test_tables_of_the_report(results, name):
    page = (results / "evaluation" / f"{name}.html").read_text()
    assert "<table" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_what_the_evaluation_found(results, classes):
    figures = json.loads((results / "evaluation" / "metrics.json").read_text())
    assert figures["deployed"] == {"kind": "stack", "name": "lightgbm"}
    assert set(figures["contribution"]) == {"cnn", "vit"}
    assert [row["models"] for row in figures["subsets"] if len(row["models"]) == 2] == [["cnn", "vit"]]
    entry = figures["stack"]["lightgbm"]["oof"]
    for low, high in entry["intervals"].values():
        assert low <= high
    assert set(entry["intervals"]) == {name for name, value in entry.items() if name in METRICS and value is not None}
    summary = (results / "evaluation" / "summary.txt").read_text()
    for finding in figures["findings"].values():
        assert finding["text"] in " ".join(summary.split())


@pytest.mark.parametrize("name", ["confusion", "calibration", "pareto"])
def test_plots_of_the_evaluation(results, name):
    assert is_svg(results / "evaluation" / f"{name}.svg")


@pytest.mark.parametrize("model", ["cnn", "vit"])
def test_trace_model(results, model):
    record = json.loads((results / "export" / "traces" / f"{model}.json").read_text())
    run = json.loads((results / "models" / model / "seed0" / "fold1" / "run.json").read_text())
    assert {key: record[key] for key in ("parameters", "flops")} == {key: run[key] for key in ("parameters", "flops")}
    weights = [header.name for header in onnx.load(results / "export" / "traces" / f"{model}.onnx").graph.input]
    assert weights[0] == "image"
    assert len(weights) > 10
    told = 2 * (record["network_bytes"] + record["graph_bytes"])
    assert 0.5 < told / (results / "export" / "models" / f"{model}.onnx").stat().st_size < 2


@pytest.mark.parametrize("model", ["cnn", "vit"])
def test_export_model_and_verify_export(results, classes, model):
    session = onnxruntime.InferenceSession(results / "export" / "models" / f"{model}.onnx")
    rows = np.load(results / "data" / "pixels.npy", allow_pickle=False)[:3]
    mean, by_fold = session.run(["probabilities", "fold_probabilities"], {"image": rows})
    assert mean.shape == (3, len(classes))
    assert by_fold.shape == (3, 2, len(classes))
    np.testing.assert_allclose(by_fold.mean(axis=1), mean, atol=1e-6)
    parity = json.loads((results / "export" / "parity" / f"{model}.json").read_text())
    assert parity["passed"] is True
    assert parity["max_abs_difference"] <= parity["tolerance"] == 1e-5
    assert parity["label_flips"] == 0


def test_export_ensemble_and_verify_ensemble(results, classes):
    session = onnxruntime.InferenceSession(results / "export" / "ensemble.onnx")
    rows = np.load(results / "data" / "pixels.npy", allow_pickle=False)
    samples = tables.read_samples(results / "data" / "samples.parquet")
    test = samples[samples["split"] == "test"].set_index("sample_id")["row"]
    stacked = tables.read_predictions(results / "stack" / "test.arrow", classes, keys=("method", "sample_id"))
    stacked = stacked[stacked["method"] == "lightgbm"].set_index("sample_id").loc[test.index]
    names = ["probabilities", "label", "class_name"]
    probabilities, labels, class_names = session.run(names, {"image": rows[test.to_numpy()]})
    expected = tables.probabilities(stacked)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert (labels == expected.argmax(axis=1)).all()
    assert list(class_names) == [classes[label] for label in labels]
    parity = json.loads((results / "export" / "parity.json").read_text())
    assert parity["passed"] is True
    assert parity["samples"] == 256
    assert parity["pipeline"]["label_flips"] == parity["label_flips"] == 0
    assert parity["pipeline"]["max_abs_difference"] <= parity["tolerance"] == 1e-5
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["foldstack"])
    scores = json.loads((results / "evaluation" / "metrics.json").read_text())["stack"]["lightgbm"]
    assert metadata["scores"]["test"]["accuracy"] == scores["test"]["accuracy"]
    assert metadata["classes"] == classes


def test_render_report_and_write_model_card(results, classes):
    page = (results / "evaluation" / "report.html").read_text()
    for part in ("Verdict", "How the number was obtained", "small_cnn", "Reproduction"):
        assert part in page
    card = (results / "export" / "MODEL_CARD.md").read_text()
    assert "ensemble.onnx" in card
    assert all(name in card for name in classes)


def test_predict_new(results, classes):
    predictions = pd.read_csv(results / "predictions" / "predictions.csv", dtype={"label": str})
    assert list(predictions["sample_id"]) == [f"digit-{digit}.png" for digit in range(10)]
    assert set(predictions["label"]) <= set(classes)
    columns = [f"prob_{name}" for name in classes]
    np.testing.assert_allclose(predictions[columns].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(predictions[columns].max(axis=1), predictions["probability"], atol=1e-6)
