"""foldstack.predict and rule predict_new: the export folder alone gives what the pipeline gave for the same images."""

import shutil
import subprocess
import sys
from pathlib import Path

import fake_nets
import numpy as np
import pandas as pd
import pytest
from fake_runs import run_script

import predict_new
from foldstack import tables
from foldstack.data.unlabelled import read_unlabelled
from foldstack.errors import FoldstackError
from foldstack.jobs import read_json, write_json
from foldstack.predict import Ensemble, describe_ensemble
from foldstack.stacking import METHODS

COLUMNS = ["sample_id", "label", "probability", "prob_cat", "prob_dog", "prob_owl"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return fake_nets.export(fake_nets.experiment(tmp_path_factory.mktemp("predict")))


@pytest.fixture
def folder(original, tmp_path):
    """A copy of the export folder, and nothing else of the experiment."""
    shutil.copytree(original.root / "export", tmp_path / "export")
    return tmp_path / "export"


def open_ensemble(folder, models=("vit", "cnn")):
    return Ensemble(
        folder / "ensemble.json", folder / "stacker.txt", [folder / "models" / f"{model}.onnx" for model in models]
    )


def predict(folder, format, path):
    """Run the rule; returns the tables as written."""
    out = {name: folder.parent / f"{name}.csv" for name in ("predictions", "quarantine")}
    models = [str(path) for path in sorted((folder / "models").glob("*.onnx"), reverse=True)]
    inputs = {"onnx": models, "stacker": folder / "stacker.txt", "ensemble": folder / "ensemble.json"}
    config = {"predict": {"format": format, "path": None if path is None else str(path)}}
    run_script(predict_new.main, folder.parent, "predict_new", inputs, out, config=config)
    return [pd.read_csv(path, dtype={"sample_id": str, "label": str}) for path in out.values()]


def pipeline(original, method="lightgbm"):
    """Rows of stack/test.parquet by sample id, without the split's folder."""
    frame = tables.read_predictions(original.stack_test, fake_nets.CLASSES, keys=("method", "sample_id"))
    frame = frame[frame["method"] == method].drop(columns="method")
    return frame.set_index(frame["sample_id"].str.removeprefix("test/"))[COLUMNS[3:]]


def test_a_folder_of_the_test_images_gets_the_pipelines_predictions(original, folder):
    predictions, quarantine = predict(folder, "imagefolder", original.images / "test")
    expected = pipeline(original)
    assert list(predictions.columns) == COLUMNS
    assert predictions["sample_id"].tolist() == sorted(expected.index)
    values = predictions.set_index("sample_id")[COLUMNS[3:]]
    np.testing.assert_allclose(values, expected.loc[values.index], atol=1e-5)
    assert values.to_numpy().std(axis=0).min() > 0.01, "a stack that ignores its input proves nothing"
    assert predictions["label"].tolist() == values.idxmax(axis=1).str.removeprefix("prob_").tolist()
    np.testing.assert_allclose(predictions["probability"], values.max(axis=1), atol=1e-6)
    assert list(quarantine.columns) == ["source", "reason"]
    assert quarantine.empty


def test_an_npz_of_the_test_pixels_gets_the_pipelines_predictions(original, folder, tmp_path):
    samples = tables.read_samples(original.samples)
    test = samples[samples["split"] == "test"].sample(frac=1, random_state=0)
    pixels = np.load(original.pixels)[test["row"].to_numpy()]
    np.savez(tmp_path / "new.npz", x=pixels, id=test["sample_id"].to_numpy(str))
    predictions, _ = predict(folder, "npz", tmp_path / "new.npz")
    values = predictions.set_index(predictions["sample_id"].str.removeprefix("test/"))[COLUMNS[3:]]
    assert len(values) == len(test)
    np.testing.assert_allclose(values, pipeline(original).loc[values.index], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_stack_can_be_deployed(original, folder, method):
    write_json(folder / "ensemble.json", read_json(folder / "ensemble.json") | {"method": method})
    ensemble = open_ensemble(folder)
    ids, pixels, _ = read_unlabelled("imagefolder", original.images / "test", **ensemble.pixel_format)
    values = ensemble.predict(ids, pixels).set_index("sample_id")[COLUMNS[3:]]
    np.testing.assert_allclose(values, pipeline(original, method).loc[values.index], atol=1e-5)


def test_larger_images_are_read_as_the_training_images_were(tmp_path):
    paths = fake_nets.export(
        fake_nets.experiment(tmp_path / "experiment", size=(30, 22), image_size=[12, 12], fit="pad")
    )
    shutil.copytree(paths.root / "export", tmp_path / "export")
    predictions, _ = predict(tmp_path / "export", "imagefolder", paths.images / "test")
    values = predictions.set_index("sample_id")[COLUMNS[3:]]
    np.testing.assert_allclose(values, pipeline(paths).loc[values.index], atol=1e-5)


def test_a_broken_image_is_quarantined_and_the_rest_is_labelled(original, folder, tmp_path):
    shutil.copytree(original.images / "test", tmp_path / "new")
    (tmp_path / "new" / "cat" / "0.png").write_bytes(b"no image")
    predictions, quarantine = predict(folder, "imagefolder", tmp_path / "new")
    assert quarantine["source"].tolist() == ["cat/0.png"]
    assert len(predictions) == len(pipeline(original)) - 1
    values = predictions.set_index("sample_id")[COLUMNS[3:]]
    np.testing.assert_allclose(values, pipeline(original).loc[values.index], atol=1e-5)


def test_many_samples_go_through_in_batches(original, folder):
    ensemble = open_ensemble(folder)
    pixels = fake_nets.random_pixels(131, (12, 12, 3))
    whole = ensemble.predict([f"{i:03d}" for i in range(131)], pixels)
    one = pd.concat([ensemble.predict([f"{i:03d}"], pixels[i : i + 1]) for i in (0, 64, 130)])
    np.testing.assert_allclose(one[COLUMNS[3:]], whole.iloc[[0, 64, 130]][COLUMNS[3:]], atol=1e-6)


def test_equal_input_gives_equal_bytes(original, folder):
    contents = []
    for _ in range(2):
        predict(folder, "imagefolder", original.images / "test")
        contents.append((folder.parent / "predictions.csv").read_bytes())
    assert contents[0] == contents[1]


def test_a_missing_or_doubled_model_is_refused(folder):
    with pytest.raises(FoldstackError, match=r"models \['cnn', 'vit'\].*1 files hold \['cnn'\]"):
        open_ensemble(folder, models=("cnn",))
    with pytest.raises(FoldstackError, match="2 files hold"):
        open_ensemble(folder, models=("cnn", "cnn"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("classes", ["dog", "cat", "owl"]), ("folds_digest", "x"), ("image_size", [9, 9]), ("n_splits", 3)],
)
def test_files_of_different_exports_are_refused(folder, key, value):
    write_json(folder / "ensemble.json", read_json(folder / "ensemble.json") | {key: value})
    with pytest.raises(FoldstackError, match=f"different exports: {key}"):
        open_ensemble(folder)


def test_another_stacker_is_refused(folder):
    text = (folder / "stacker.txt").read_text()
    (folder / "stacker.txt").write_text(text + "\n")
    with pytest.raises(FoldstackError, match=r"stacker\.txt is not the stacker"):
        open_ensemble(folder)


def test_nothing_to_predict_is_said_in_a_sentence(folder, capfd):
    with pytest.raises(SystemExit):
        predict(folder, "imagefolder", None)
    assert "predict.path is not set" in capfd.readouterr().err
    assert not (folder.parent / "predictions.csv").exists()


def test_ensemble_json_holds_what_predict_needs_and_no_local_path(original, folder):
    ensemble = read_json(folder / "ensemble.json")
    assert ensemble["method"] == "lightgbm"
    assert ensemble["models"] == ["cnn", "vit"]
    assert ensemble["meta_features"][:2] == ["cnn__cat", "cnn__dog"]
    assert ensemble["image_size"] == [12, 12]
    assert str(original.root) not in (folder / "ensemble.json").read_text()


def test_a_stack_of_other_data_is_not_exported(original):
    stack, dataset = read_json(original.stack_stack), read_json(original.dataset)
    with pytest.raises(FoldstackError, match="made from other data"):
        describe_ensemble(stack, dataset | {"digest": "else"}, "")


def test_predict_needs_no_torch():
    scripts = Path(predict_new.__file__).parent
    code = "import sys, foldstack.predict, foldstack.data.unlabelled; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts, check=False).returncode == 0
