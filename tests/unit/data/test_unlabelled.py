"""foldstack.data.unlabelled: new data in every format, without labels."""

import numpy as np
import pytest
from data_config import section
from PIL import Image

from foldstack.data.unlabelled import read_unlabelled
from foldstack.errors import FoldstackError

IMAGES = {"image_size": [4, 4], "channels": 1, "fit": "crop", "task": "images", "reading": {}}
PAIRS = IMAGES | {"task": "pairs"}


def read(form, path, pixel_format=IMAGES, **given):
    """(ids, pixels, quarantined, account)."""
    return read_unlabelled(section("predict", format=form, path=str(path), **given), **pixel_format)


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (7, 9), (value,) * 3).save(path)


def test_nested_folder(tmp_path):
    for i, name in enumerate(["b.png", "a/deep/c.png", "a/it's\n.png"]):
        write(tmp_path / name, i)
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    ids, pixels, quarantined, account = read("imagefolder", tmp_path)
    assert (account["found"], account["taken"], account["passed_over"], account["quarantined"]) == (5, 3, 1, 1)
    assert ids == ["a/deep/c.png", "a/it's\n.png", "b.png"]
    assert pixels.shape == (3, 4, 4, 1)
    assert pixels[:, 0, 0, 0].tolist() == [1, 2, 0]
    assert quarantined.to_numpy().tolist() == [["a/empty.png", "the file is empty"]]


def test_csv(tmp_path):
    write(tmp_path / "x" / "1.png", 5)
    (tmp_path / "new.csv").write_text("path,more\nx/1.png,?\nx/none.png,?\n")
    ids, pixels, quarantined, _ = read("csv", tmp_path / "new.csv")
    assert ids == ["x/1.png"]
    assert (pixels == 5).all()
    assert quarantined["reason"].tolist() == ["cannot be read: No such file or directory"]


def test_npz_sorts_ids_with_their_pixels(tmp_path):
    x = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x=x, id=["c", "a", "b"])
    ids, pixels, *_ = read("npz", tmp_path / "a.npz")
    assert ids == ["a", "b", "c"]
    assert pixels[:, 0, 0, 0].tolist() == [1, 2, 0]
    np.savez(tmp_path / "b.npz", x=x)
    assert read("npz", tmp_path / "b.npz")[0] == ["000000", "000001", "000002"]


def test_pairs(tmp_path):
    np.savez(tmp_path / "a.npz", xa=np.zeros((2, 4, 4), np.uint8), xb=np.ones((2, 8, 8), np.uint8)[:, :4, :4])
    _, pixels, *_ = read("npz_pairs", tmp_path / "a.npz", PAIRS)
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
            read(form, tmp_path / name)


def test_the_account_of_new_data(tmp_path):
    for name in ("a/1.jpg", "a/2.jpg"):
        write(tmp_path / name, 3)
    (tmp_path / "new.csv").write_text("id;more\n1;?\n2;?\n3;?\n", encoding="utf-16")
    given = {"columns": {"path": "id"}, "images": str(tmp_path / "a"), "suffix": ".jpg"}
    ids, _, _, account = read("csv", tmp_path / "new.csv", **given)
    assert ids == ["1", "2"]
    assert (account["unit"], account["found"], account["taken"], account["quarantined"]) == ("rows", 3, 2, 1)
    assert account["unused"] == ["more"]
    assert account["facts"] == ["new.csv: semicolon, utf-16."]
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[0, 1])
    _, _, _, account = read("npz", tmp_path / "a.npz", columns={"x": "images"})
    assert (account["unit"], account["taken"], account["unused"]) == ("samples", 2, ["labels"])


def test_new_data_are_read_as_the_training_data_were(tmp_path):
    Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(tmp_path / "a.png")
    for reading, value in (({}, 16), ({"bits": 12}, 255)):
        _, pixels, *_ = read("imagefolder", tmp_path, IMAGES | {"reading": reading})
        assert (pixels == value).all()


@pytest.mark.parametrize(
    ("form", "name", "words"),
    [
        ("csv", "a.csv", r"nothing in .* there is '1\.png': set predict\.suffix: \.png"),
        ("imagefolder", "heic", r"nothing in .*pillow-heif"),
    ],
)
def test_where_nothing_can_be_read_the_way_on_is_named(tmp_path, form, name, words):
    write(tmp_path / "1.png", 3)
    (tmp_path / "a.csv").write_text("path\n1\n")
    (tmp_path / "heic").mkdir()
    (tmp_path / "heic" / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    with pytest.raises(FoldstackError, match=words):
        read(form, tmp_path / name)
