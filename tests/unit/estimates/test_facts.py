"""foldstack.estimates.facts: how large the data are, before and after they are prepared."""

import json

import numpy as np
import pytest
from PIL import Image

from foldstack.config import resolve as configuration
from foldstack.estimates import facts
from foldstack.reruns import sources

MODELS = {"small_cnn": {}, "resnet18": {}}


def config(data):
    models = {"pair_net": {}} if data["format"] == "npz_pairs" else MODELS
    return configuration.resolve({"experiment": "x", "data": data, "models": models})


def picture(path, size=(20, 12), number=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG" if path.suffix == ".JPEG" else None)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def looked_at(data):
    """The facts, after Snakemake's look at the files."""
    resolved = config(data)
    sources.digest(resolved["data"])
    return facts.of(resolved, facts.Path("results/x"))


def test_a_download_of_tinyimagenet_is_counted_before_it_is_read(place):
    for number in range(6):
        picture(place / f"tiny/train/n{number % 3}/images/{number}.JPEG", number=number)
    for number in range(4):
        picture(place / f"tiny/val/images/val_{number}.JPEG")
        picture(place / f"tiny/test/images/test_{number}.JPEG")
    (place / "tiny/val/val_annotations.txt").write_text("val_0.JPEG\tn0\t0\t0\t1\t1\n")
    found = looked_at({"format": "imagefolder", "path": "tiny"})
    assert (found.train, found.test, found.classes, found.shape) == (8, 2, 3, (1, 12, 20, 3))
    assert found.stored == 10 * 12 * 20 * 3
    assert not found.prepared


def test_folders_called_test_are_the_test_split_and_large_images_are_stored_at_224(place):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            picture(place / f"pets/{split}/{name}/1.png", size=(300, 400))
    found = looked_at({"format": "imagefolder", "path": "pets"})
    assert (found.train, found.test, found.classes, found.shape) == (2, 2, 2, (1, 224, 224, 3))


def test_encoded_samples_need_what_their_files_need(place):
    for name in ("cat", "dog"):
        picture(place / f"pets/{name}/1.jpg", size=(300, 400))
    found = looked_at({"format": "imagefolder", "path": "pets", "store": "encoded"})
    assert found.stored == sum(path.stat().st_size for path in place.glob("pets/*/*.jpg"))


def test_a_table_is_counted_by_its_rows(place):
    rows = ["path,label,split"]
    for number in range(6):
        picture(place / f"images/{number}.png", number=number)
        rows.append(f"images/{number}.png,{'abc'[number % 3]},{'test' if number > 3 else 'train'}")
    (place / "t.csv").write_text("\n".join(rows))
    found = looked_at({"format": "csv", "path": "t.csv"})
    assert (found.train, found.test, found.classes, found.shape) == (4, 2, 3, (1, 12, 20, 3))


@pytest.mark.parametrize(("labels", "classes"), [(np.arange(10) % 3, 3), (np.array(list("abcdefghij")), 10)])
def test_an_archive_is_counted_by_its_headers(place, labels, classes):
    np.savez(place / "a.npz", x=np.zeros((10, 8, 6, 3), np.uint8), y=labels)
    found = looked_at({"format": "npz", "path": "a.npz"})
    assert (found.samples, found.test, found.classes, found.shape) == (10, 2, classes, (1, 8, 6, 3))


def test_pairs_side_by_side_are_two_images(place):
    np.savez(place / "a.npz", x=np.zeros((10, 8, 12), np.uint8), y=np.arange(10) % 2)
    found = looked_at({"format": "npz_pairs", "path": "a.npz"})
    assert (found.samples, found.shape) == (10, (2, 8, 6, 1))


def test_built_in_data_are_known_and_a_size_that_is_asked_for_counts(place):
    assert looked_at({"format": "digits"}).shape == (1, 8, 8, 1)
    assert looked_at({"format": "digits", "image_size": [32, 16]}).shape == (1, 32, 16, 1)


def test_what_cannot_be_read_yet_is_not_known(place):
    (place / "empty").mkdir()
    assert facts.of(config({"format": "imagefolder", "path": "empty"}), place / "results/x") is None


def test_prepared_data_are_known_unless_another_size_is_asked_for(place):
    folder = place / "results/x/data"
    folder.mkdir(parents=True)
    (folder / "pixels.npy").write_bytes(b"0" * 500)
    counts = {"train": {"a": 3, "b": 4}, "test": {"a": 1, "b": 1}}
    dataset = {"task": "images", "classes": ["a", "b"], "image_size": [8, 6], "channels": 1, "counts": counts}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    found = facts.of(config({"format": "digits"}), place / "results/x")
    assert found == facts.Facts(7, 2, 2, (1, 8, 6, 1), 500, True)
    assert not facts.of(config({"format": "digits", "image_size": 32}), place / "results/x").prepared


def test_a_trace_of_another_architecture_is_no_record(place):
    traces = place / "results/x/export/traces"
    traces.mkdir(parents=True)
    for model, architecture in (("small_cnn", "small_cnn"), ("resnet18", "resnet50")):
        (traces / f"{model}.json").write_text(json.dumps({"architecture": architecture}))
    found = facts.networks(config({"format": "digits"}), place / "results/x")
    assert found == {"small_cnn": {"architecture": "small_cnn"}, "resnet18": None}
