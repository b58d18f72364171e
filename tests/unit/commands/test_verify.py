"""`make verify`: an exported file is scored on labelled images, as a user types it."""

import csv
import json
import shutil

import commands
import fake_nets
import numpy as np
import pytest
from PIL import Image

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.evaluation import metrics

verify = commands.load("verify")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small exported file; its images are 24 of the test split and 72 others."""
    return fake_nets.export(fake_nets.experiment(tmp_path_factory.mktemp("verify")))


def test_the_test_split_scores_what_the_pipeline_scored(exported):
    done = commands.typed("verify", exported.ensemble, exported.images, "--resamples", 50)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("24 samples scored, 0 unreadable")
    stored = tables.read_predictions(exported.stack_test, fake_nets.CLASSES, keys=("method", "sample_id"))
    stored = stored[stored["method"] == "lightgbm"].set_index("sample_id").sort_index()
    samples = tables.read_samples(exported.samples).set_index("sample_id")
    hits = tables.probabilities(stored).argmax(axis=1) == samples.loc[stored.index, "label"]
    shown = next(line for line in lines if line.split()[0].lower() == "accuracy").split()
    assert float(shown[1]) == pytest.approx(hits.mean(), abs=5e-5)
    assert float(shown[2]) <= hits.mean() <= float(shown[4])


def test_the_numbers_for_a_machine_are_json_with_an_interval_for_each(exported, capsys):
    assert verify.main([str(exported.ensemble), str(exported.images), "--resamples", "50", "--json"]) == 0
    report = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (report["samples"], report["unreadable"]) == (24, 0)
    assert list(report["scores"]) == sorted(metrics.METRICS)
    for name, entry in report["scores"].items():
        if name.startswith("top_"):  # of three classes
            assert set(entry.values()) == {None}
        else:
            assert entry["low"] <= entry["value"] <= entry["high"], name


def test_the_same_call_gives_the_same_numbers(exported, capsys):
    printed = []
    for _ in range(2):
        verify.main([str(exported.ensemble), str(exported.images), "--resamples", "20"])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_images_that_cannot_be_read_are_counted_and_left_out(exported, tmp_path, capsys):
    shutil.copytree(exported.images / "test", tmp_path / "images")
    (tmp_path / "images/cat/0.png").write_text("no picture")
    verify.main([str(exported.ensemble), str(tmp_path / "images"), "--resamples", "20"])
    assert capsys.readouterr().out.startswith("23 samples scored, 1 unreadable")
    for path in (tmp_path / "images").rglob("*.png"):
        path.write_text("no picture")
    with pytest.raises(FoldstackError, match="None of the images can be read"):
        verify.main([str(exported.ensemble), str(tmp_path / "images")])


def test_a_label_that_the_model_does_not_know_is_named(exported, tmp_path):
    shutil.copytree(exported.images / "test", tmp_path / "images")
    (tmp_path / "images/owl").rename(tmp_path / "images/yak")
    done = commands.typed("verify", exported.ensemble, tmp_path / "images")
    assert done.returncode != 0
    assert "the label 'yak' is none of the model's classes ['cat', 'dog', 'owl']" in done.stderr
    assert "Traceback" not in done.stderr


def test_images_for_a_model_of_pairs_are_refused(exported):
    with pytest.raises(FoldstackError, match="holds images, but the model is for pairs; give other data"):
        verify.read_labelled(exported.images, {"task": "pairs"})


def test_a_table_and_arrays_are_scored_as_the_folder_is(exported, tmp_path):
    """The three forms of DATA, of the same images."""
    shutil.copytree(exported.images / "test", tmp_path / "images")
    paths = sorted((tmp_path / "images").rglob("*.png"))
    with open(tmp_path / "list.csv", "w", newline="") as file:
        rows = ([path.relative_to(tmp_path), path.parent.name] for path in paths)
        csv.writer(file).writerows([["path", "label"], *rows])
    pixels, labels = np.stack([np.asarray(Image.open(path)) for path in paths]), [path.parent.name for path in paths]
    np.savez(tmp_path / "images.npz", x=pixels, y=np.array(labels))
    found = []
    for data in (tmp_path / "images", tmp_path / "list.csv", tmp_path / "images.npz"):
        session, metadata = verify.open_session(str(exported.ensemble))
        classes, items = verify.read_labelled(data, metadata)
        kept, probabilities = verify.predict(session, metadata, items)
        assert len(kept) == len(paths)
        found.append(verify.score(classes, probabilities, 20)["log_loss"]["value"])
    assert found == pytest.approx([found[0]] * 3)


def test_the_file_of_one_model_is_refused(exported):
    with pytest.raises(FoldstackError, match=r"is the file of one model; give export/ensemble\.onnx"):
        verify.main([exported.onnx["cnn"], str(exported.images)])


@pytest.mark.parametrize("missing", ["file", "data"])
def test_a_path_that_does_not_exist_is_named(exported, tmp_path, missing):
    paths = {"file": str(exported.ensemble), "data": str(exported.images)} | {missing: str(tmp_path / "nowhere")}
    with pytest.raises(FoldstackError, match="nowhere"):
        verify.main([paths["file"], paths["data"]])
