"""foldstack.data.unlabelled: new data in every format, without labels."""

import numpy as np
import pytest
from PIL import Image

from foldstack.data.unlabelled import read_unlabelled
from foldstack.errors import FoldstackError

IMAGES = {"image_size": [4, 4], "channels": 1, "fit": "crop", "task": "images"}
PAIRS = IMAGES | {"task": "pairs"}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (7, 9), (value,) * 3).save(path)


def test_nested_folder(tmp_path):
    for i, name in enumerate(["b.png", "a/deep/c.png", "a/it's\n.png"]):
        write(tmp_path / name, i)
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    ids, pixels, quarantined = read_unlabelled("imagefolder", tmp_path, **IMAGES)
    assert ids == ["a/deep/c.png", "a/it's\n.png", "b.png"]
    assert pixels.shape == (3, 4, 4, 1)
    assert pixels[:, 0, 0, 0].tolist() == [1, 2, 0]
    assert quarantined.to_numpy().tolist() == [["a/empty.png", "the file is empty"]]


def test_csv(tmp_path):
    write(tmp_path / "x" / "1.png", 5)
    (tmp_path / "new.csv").write_text("path,more\nx/1.png,?\nx/none.png,?\n")
    ids, pixels, quarantined = read_unlabelled("csv", tmp_path / "new.csv", **IMAGES)
    assert ids == ["x/1.png"]
    assert (pixels == 5).all()
    assert quarantined["reason"].tolist() == ["cannot be read: No such file or directory"]


def test_npz_sorts_ids_with_their_pixels(tmp_path):
    x = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, id=["c", "a", "b"])
    ids, pixels, _ = read_unlabelled("npz", tmp_path / "a.npz", **IMAGES)
    assert ids == ["a", "b", "c"]
    assert pixels[:, 0, 0, 0].tolist() == [1, 2, 0]
    np.savez(tmp_path / "b.npz", x=x)
    assert read_unlabelled("npz", tmp_path / "b.npz", **IMAGES)[0] == ["000000", "000001", "000002"]


def test_pairs(tmp_path):
    np.savez(tmp_path / "a.npz", xa=np.zeros((2, 4, 4), np.uint8), xb=np.ones((2, 8, 8), np.uint8)[:, :4, :4])
    _, pixels, _ = read_unlabelled("npz_pairs", tmp_path / "a.npz", **PAIRS)
    assert pixels.shape == (2, 2, 4, 4, 1)
    assert pixels[:, 1].min() == 1


def test_faults(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"")
    (tmp_path / "twice.csv").write_text("path\na.png\na.png\n")
    for form, name, words in (
        ("imagefolder", "none", "does not exist"),
        ("imagefolder", "empty", "holds no image"),
        ("imagefolder", "bad", "nothing in .* can be read"),
        ("csv", "twice.csv", "'a.png' occurs more than once"),
        ("npz", "empty", "not a file"),
        ("npz_pairs", "empty", "does not fit a model of images"),
    ):
        with pytest.raises(FoldstackError, match=words):
            read_unlabelled(form, tmp_path / name, **IMAGES)
