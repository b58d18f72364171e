"""foldstack.export.model_gate and rule verify_export: an honest file passes, every kind of broken one fails."""

import shutil

import fake_nets
import numpy as np
import onnx
import pytest
from fake_runs import edit_record, run_script

import verify_export
from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.export import agreement, model_gate
from foldstack.export.model import export_model, read_runs
from foldstack.files import read_json
from foldstack.folds.digest import versions

CONFIG = {"tolerance": 1e-4, "samples": 256}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return fake_nets.export(fake_nets.experiment(tmp_path_factory.mktemp("parity")))


@pytest.fixture
def built(original, tmp_path):
    """The experiment in a folder of the test's own, as (root, runs, pixels of the test samples, onnx path)."""
    shutil.copytree(original.root, tmp_path, dirs_exist_ok=True)
    files = [str(path).replace(str(original.root), str(tmp_path)) for path in original.runs["cnn"]]
    dataset, summary = (read_json(tmp_path / name) for name in ("data/dataset.json", "folds/folds.json"))
    runs, metadata = read_runs(files, "cnn", dataset, versions(dataset, summary))
    samples, folds = tmp_path / "data" / "samples.parquet", tmp_path / "folds" / "folds.parquet"
    chosen = agreement.choose_samples(tables.read_samples(samples), 256, tables.read_folds(folds))
    pixels = np.load(tmp_path / "data" / "pixels.npy")[chosen["row"].to_numpy()]
    return Built(tmp_path, files, runs, metadata, chosen, pixels, tmp_path / "export" / "models" / "cnn.onnx")


class Built:
    def __init__(self, root, files, runs, metadata, chosen, pixels, onnx_path):
        self.root, self.files, self.runs, self.metadata = root, files, runs, metadata
        self.chosen, self.pixels, self.onnx = chosen, pixels, onnx_path

    def pipeline(self):
        files = [(seed, fold, weights.parent / "test.arrow") for seed, fold, weights in self.runs]
        return model_gate.read_pipeline(files, self.chosen["sample_id"].tolist(), fake_nets.CLASSES)

    def verify(self):
        """Run the rule; returns its report."""
        data = {name.split(".")[0]: str(self.root / "data" / name) for name in ("samples.parquet", "pixels.npy")}
        inputs = data | {
            "dataset": str(self.root / "data" / "dataset.json"),
            "folds": str(self.root / "folds" / "folds.parquet"),
            "onnx": str(self.onnx),
            "runs": self.files,
        }
        report = self.root / "parity.json"
        run_script(verify_export.main, self.root, "verify_export", inputs, {"parity": report}, {"model": "cnn"}, CONFIG)
        return read_json(report)


def test_an_honest_export_passes_and_the_report_says_by_how_much(built):
    report = built.verify()
    assert report["passed"] is True
    assert report["samples"] == len(built.pixels) == 24
    assert (report["label_flips"], report["pipeline_label_flips"]) == (0, 0)
    assert 0 < report["max_abs_difference"] < 1e-5
    assert 0 < report["pipeline_max_abs_difference"] < 1e-5
    assert report["tolerance"] == report["pipeline_tolerance"] == 1e-4


def perturb(path, index, change):
    """Change one float initializer of the file, as an exporter's fault would."""
    proto = onnx.load(path)
    floats = [item for item in proto.graph.initializer if item.data_type == 1 and item.dims and item.dims[0] > 1]
    chosen = floats[index % len(floats)]
    values = onnx.numpy_helper.to_array(chosen) + np.float32(change)
    chosen.CopyFrom(onnx.numpy_helper.from_array(values, chosen.name))
    onnx.save(proto, path)


@pytest.mark.parametrize("index", [0, 7, -1])
def test_one_wrong_tensor_fails_and_no_report_is_written(built, index):
    perturb(built.onnx, index, 0.05)
    with pytest.raises(FoldstackError, match="does not agree with torch"):
        model_gate.check(built.onnx, built.runs, built.pixels)
    with pytest.raises(SystemExit):
        built.verify()
    assert not (built.root / "parity.json").exists()


def test_swapped_folds_fail_although_their_mean_agrees(built):
    swapped = [(seed, 1 - fold, weights) for seed, fold, weights in built.runs]
    export_model(swapped, built.onnx, built.metadata)
    with pytest.raises(FoldstackError, match="does not agree with torch"):
        model_gate.check(built.onnx, built.runs, built.pixels)


def test_another_number_of_folds_fails(built):
    one_fold = [run for run in built.runs if run[1] == 0]
    with pytest.raises(FoldstackError, match="exported from other runs"):
        model_gate.check(built.onnx, one_fold, built.pixels)


def test_black_and_white_images_are_compared_too(built, monkeypatch):
    seen = []
    monkeypatch.setattr(
        model_gate, "run_batches", lambda session, images: seen.append(images) or ([], np.zeros((1, 1, 1)))
    )
    with pytest.raises(FoldstackError):
        model_gate.check(built.onnx, built.runs, built.pixels[:3])
    assert len(seen[0]) == 5
    assert seen[0][-2].max() == 0
    assert seen[0][-1].min() == 255


def test_predictions_of_other_weights_fail_against_the_pipeline(built):
    for seed, fold, weights in built.runs:
        if (seed, fold) == (3, 1):
            other = weights.parents[2] / "seed0" / "fold0" / "test.arrow"
            shutil.copy(other, weights.parent / "test.arrow")
    with pytest.raises(FoldstackError, match="the pipeline's own predictions"):
        model_gate.check(built.onnx, built.runs, built.pixels, pipeline=built.pipeline())
    with pytest.raises(SystemExit):
        built.verify()


def test_the_pipeline_is_joined_by_id_not_by_position(built):
    expected = built.pipeline()
    path = built.runs[0][2].parent / "test.arrow"
    frame = tables.read_predictions(path, fake_nets.CLASSES)
    tables.write_predictions(frame.sample(frac=1, random_state=0), path, fake_nets.CLASSES)
    np.testing.assert_array_equal(built.pipeline(), expected)
    tables.write_predictions(frame.iloc[1:], path, fake_nets.CLASSES)
    with pytest.raises(FoldstackError, match="no prediction for test sample"):
        built.pipeline()


def test_runs_of_another_device_may_differ_more_but_not_grossly(built):
    near, far = built.pipeline() + np.array([0.005, -0.005, 0]), built.pipeline()[::-1]
    report = model_gate.check(
        built.onnx, built.runs, built.pixels, pipeline=near, pipeline_tolerance=agreement.DEVICE_TOLERANCE
    )
    assert report["pipeline_max_abs_difference"] == pytest.approx(0.005, abs=1e-5)
    with pytest.raises(FoldstackError, match="pipeline"):
        model_gate.check(built.onnx, built.runs, built.pixels, pipeline=near)
    with pytest.raises(FoldstackError, match="pipeline"):
        model_gate.check(
            built.onnx, built.runs, built.pixels, pipeline=far, pipeline_tolerance=agreement.DEVICE_TOLERANCE
        )


def test_the_device_of_the_runs_decides_the_tolerance_against_the_pipeline(built):
    edit_record(built.runs[0][2].parent, device="cuda:0")
    assert built.verify()["pipeline_tolerance"] == agreement.DEVICE_TOLERANCE


@pytest.fixture
def untested(built):
    """The same without its test samples."""
    path = built.root / "data" / "samples.parquet"
    samples = tables.read_samples(path)
    tables.write_samples(samples[samples["split"] == "train"], path)
    return built


def test_without_a_test_split_each_network_is_held_against_its_own_fold(untested):
    report = untested.verify()
    assert report["passed"]
    assert report["samples"] == len(tables.read_samples(untested.root / "data" / "samples.parquet"))
    assert 0 < report["pipeline_max_abs_difference"] < 1e-5
    assert report["pipeline_label_flips"] == 0


def test_without_a_test_split_predictions_of_other_weights_fail(untested, capfd):
    """Of one fold's run of one seed only."""
    path = untested.runs[0][2].parent / "oof.arrow"
    frame = tables.read_predictions(path, fake_nets.CLASSES)
    frame["sample_id"] = frame["sample_id"].sample(frac=1, random_state=0).to_numpy()
    tables.write_predictions(frame, path, fake_nets.CLASSES)
    with pytest.raises(SystemExit):
        untested.verify()
    assert "the pipeline's own predictions" in capfd.readouterr().err


def test_a_training_sample_that_no_fold_predicted_is_refused(untested):
    files = [(seed, fold, weights.parent / "oof.arrow") for seed, fold, weights in untested.runs]
    name = tables.read_predictions(files[0][2], fake_nets.CLASSES)["sample_id"].iloc[0]
    assert np.isfinite(model_gate.read_out_of_fold(files, [name], fake_nets.CLASSES)).sum() == 3
    with pytest.raises(FoldstackError, match="Training sample 'x' is not predicted by the runs of one fold"):
        model_gate.read_out_of_fold(files, [name, "x"], fake_nets.CLASSES)
