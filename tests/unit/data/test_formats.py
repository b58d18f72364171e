"""foldstack.data: imagefolder, table, npz, digits: what each format means, and each way in which it can be wrong."""

import os

import numpy as np
import pytest
from PIL import Image

from foldstack.data.formats import csv_table, digits, imagefolder, npz
from foldstack.data.formats.source import check_id
from foldstack.errors import FoldstackError


def picture(path, value: int = 0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), value).save(path)
    return path


def splits(source) -> dict[str, str]:
    return dict(zip(source.rows["sample_id"], source.rows["split"], strict=True))


def test_imagefolder_val_joins_train(tmp_path):
    for name in ("train/a/1.png", "train/b/2.png", "val/a/1.png", "test/a/deep/er/9.PNG"):
        picture(tmp_path / name)
    source = imagefolder.read(tmp_path)
    assert splits(source) == {
        "train/a/1.png": "train",
        "train/b/2.png": "train",
        "val/a/1.png": "train",
        "test/a/deep/er/9.PNG": "test",
    }
    assert source.test_given
    assert source.rows["label"].tolist() == ["a", "b", "a", "a"]


def test_imagefolder_of_classes_only_even_one_called_train(tmp_path):
    for name in ("car/1.png", "train/2.png", "car/.hidden.png", ".git/3.png"):
        picture(tmp_path / name)
    (tmp_path / "car" / "notes.txt").write_text("not an image")
    source = imagefolder.read(tmp_path)
    assert splits(source) == {"car/1.png": "train", "train/2.png": "train"}
    assert not source.test_given


def test_imagefolder_with_test_path(tmp_path):
    picture(tmp_path / "data/a/1.png")
    picture(tmp_path / "more/a/1.png")
    source = imagefolder.read(tmp_path / "data", tmp_path / "more")
    assert splits(source) == {"a/1.png": "train", "test/a/1.png": "test"}
    assert source.items[1] == tmp_path / "more/a/1.png"


def test_imagefolder_odd_names_and_links(tmp_path):
    odd = ['it\'s a "cat".png', "zwei\nZeilen.png", "日本 é.png", "a,b;c.png"]
    for name in odd:
        picture(tmp_path / "ä b" / name)
    (tmp_path / "ä b" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert sorted(splits(imagefolder.read(tmp_path))) == sorted(f"ä b/{name}" for name in odd)


def test_imagefolder_name_that_is_no_text_is_refused_not_fatal(tmp_path):
    picture(tmp_path / "a" / "1.png")
    os.rename(tmp_path / "a" / "1.png", os.fsencode(tmp_path / "a") + b"/\xff.png")
    picture(tmp_path / "a" / "2.png")
    source = imagefolder.read(tmp_path)
    assert list(splits(source)) == ["a/2.png"]
    assert source.intake.refused == [("a/\\udcff.png", "the file's name is not valid UTF-8")]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "no class folders"),
        (["1.png"], "no class folders"),
        (["a/1.png", "2.png"], "outside the class folders"),
        (["a/1.png", "b/readme.txt"], "holds no image file"),
        (["train/a/1.png", "valid/a/1.png"], "'valid'"),
    ],
)
def test_imagefolder_faults(tmp_path, files, words):
    for name in files:
        if name.endswith("txt"):
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text("")
        else:
            picture(tmp_path / name)
    with pytest.raises(FoldstackError, match=words):
        imagefolder.read(tmp_path)


def test_missing_paths_and_wrong_kinds_are_named(tmp_path):
    file = picture(tmp_path / "one.png")
    for read, path, words in (
        (imagefolder.read, tmp_path / "none", "does not exist"),
        (imagefolder.read, file, "not a folder"),
        (csv_table.read, tmp_path, "not a file"),
    ):
        with pytest.raises(FoldstackError, match=rf"data\.path.*{words}"):
            read(path)


def test_two_test_splits_are_refused(tmp_path):
    picture(tmp_path / "data/train/a/1.png")
    picture(tmp_path / "data/test/a/1.png")
    csv = tmp_path / "x.csv"
    csv.write_text("path,label,split\na.png,a,test\n")
    np.savez(tmp_path / "test.npz", x=np.zeros((1, 4, 4), np.uint8), y=[0])
    np.savez(tmp_path / "train.npz", x=np.zeros((1, 4, 4), np.uint8), y=[0])
    for call in (
        lambda: imagefolder.read(tmp_path / "data", tmp_path / "data/test"),
        lambda: csv_table.read(csv, csv),
        lambda: npz.read(tmp_path, tmp_path / "test.npz", task="images"),
    ):
        with pytest.raises(FoldstackError, match=r"test_path is set too"):
            call()


def test_csv_columns_and_odd_text(tmp_path):
    file = tmp_path / "x.csv"
    text = '\ufeffpath,label,group,split,caption,fold,more\n./sub//1.png,NA,p1,val,"two\nlines",3,?\n'
    text += '"a ""b"".png",null,,test,,,\n'
    file.write_text(text, encoding="utf-8")
    source = csv_table.read(file)
    rows = source.rows.astype(object).where(source.rows.notna(), None)
    assert rows.drop(columns="source").to_numpy().tolist() == [
        ["sub/1.png", "train", "NA", "p1", 3, "two\nlines"],
        ['a "b".png', "test", "null", None, None, None],
    ]
    assert source.items == [tmp_path / "sub/1.png", tmp_path / 'a "b".png']


def test_csv_test_path(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "x.csv").write_text("path,label\n1.png,a\n")
    (tmp_path / "more/y.csv").write_text("path,label\n1.png,a\n")
    source = csv_table.read(tmp_path / "x.csv", tmp_path / "more/y.csv")
    assert splits(source) == {"1.png": "train", "test/1.png": "test"}
    assert source.items == [tmp_path / "1.png", tmp_path / "more/1.png"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a CSV file"),
        ("path,label\na,b,c,d\n", "not a CSV file"),
        ("path,label\na,b\na,b,c\n", "not a CSV file"),
        ("path,label\na,b\na\n", "row 2: 'label' is empty"),
        ("file,label\n1.png,a\n", "no column 'path'"),
        ("path\n1.png\n", "no column 'label'"),
        ("path,label\n1.png,a\n2.png,\n", "row 2: 'label' is empty"),
        ("path,label\n1.png,a\n../2.png,a\n", "row 2: .*relative path"),
        ("path,label\n/etc/passwd,a\n", "row 1: .*relative path"),
        ("path,label\nC:\\x.png,a\n", "row 1: .*relative path"),
        ("path,label,split\n1.png,a,dev\n", "row 1: split 'dev'"),
        ("path,label,split\n1.png,a,\n", "row 1: split None"),
        ("path,label,fold\n1.png,a,-1\n", "row 1: fold '-1'"),
        ("path,label,fold\n1.png,a,1.5\n", "row 1: fold '1.5'"),
    ],
)
def test_csv_faults_name_the_row(tmp_path, text, words):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(FoldstackError, match=words):
        csv_table.read(tmp_path / "x.csv")


def test_csv_that_is_not_utf8(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(FoldstackError, match="UTF-8"):
        csv_table.read(tmp_path / "x.csv")


@pytest.mark.parametrize("name", ["", " ", "/a", "../a", "a/../../b", "C:/a", "a\0b"])
def test_ids_without_tricks(name):
    with pytest.raises(FoldstackError, match="somewhere"):
        check_id(name, "somewhere")


def test_npz_keys(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=[10, 9, 10], id=["p", "q", "r"], group=["g", "", "h"], fold=[0, 1, 0])
    source = npz.read(tmp_path / "a.npz", task="images")
    assert source.rows["label"].tolist() == ["10", "9", "10"]
    assert source.rows["sample_id"].tolist() == ["p", "q", "r"]
    assert source.rows["group"].tolist() == ["g", None, "h"]
    assert source.rows["fold"].tolist() == [0, 1, 0]
    assert np.array_equal(np.stack(source.items)[:, 0], x)


def test_npz_folder_val_joins_train_and_test_path_may_be_a_folder(tmp_path):
    (tmp_path / "more").mkdir()
    for name, count in (("train", 2), ("val", 1), ("more/test", 1)):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((count, 4, 4), np.uint8), y=np.zeros(count, int))
    source = npz.read(tmp_path, tmp_path / "more", task="images")
    assert splits(source) == {
        "train/000000": "train",
        "train/000001": "train",
        "val/000000": "train",
        "test/000000": "test",
    }


def test_npz_pairs_side_by_side_or_apart(tmp_path):
    left, right = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=np.concatenate([left, right], axis=2), y=[0, 1, 0])
    np.savez(tmp_path / "b.npz", xa=left, xb=right, y=[0, 1, 0])
    for name in ("a.npz", "b.npz"):
        source = npz.read(tmp_path / name, task="pairs")
        assert source.task == "pairs"
        assert np.array_equal(np.stack(source.items), np.stack([left, right], axis=1)[..., None])


X = np.zeros((2, 4, 6), np.uint8)


@pytest.mark.parametrize(
    ("task", "arrays", "words"),
    [
        ("images", {"y": [0, 1]}, "no key 'x'"),
        ("images", {"x": X}, "add the key 'y'"),
        ("images", {"x": X.astype(np.float32), "y": [0, 1]}, "key 'x' holds float32"),
        ("images", {"x": np.zeros((2, 3, 4, 6), np.uint8), "y": [0, 1]}, r"key 'x' has shape \(2, 3, 4, 6\)"),
        ("images", {"x": np.zeros((0, 4, 6), np.uint8), "y": []}, "at least one sample"),
        ("images", {"x": X[0], "y": [0, 1]}, "key 'x' has shape"),
        ("images", {"x": X, "y": [0, 1, 1]}, r"key 'y' has shape \(3,\)"),
        ("images", {"x": X, "y": [[0], [1]]}, r"key 'y' has shape \(2, 1\)"),
        ("images", {"x": X, "y": [0.0, 1.0]}, "key 'y' holds float64"),
        ("images", {"x": X, "y": ["a", ""]}, "sample 1 has an empty label"),
        ("images", {"x": X, "y": np.array(["a", None], dtype=object)}, "key 'y'.*object array"),
        ("images", {"x": X, "y": [0, 1], "id": ["a", "../b"]}, "key 'id'"),
        ("images", {"x": X, "y": [0, 1], "fold": ["a", "b"]}, "key 'fold' holds"),
        ("images", {"x": X, "y": [0, 1], "fold": [0, -1]}, "number folds from 0"),
        ("pairs", {"x": X[:, :, :5], "y": [0, 1]}, "width 5 is odd"),
        ("pairs", {"xa": X, "y": [0, 1]}, "no key 'xb'"),
        ("pairs", {"xa": X, "xb": X[:, :3], "y": [0, 1]}, "must be equal"),
    ],
)
def test_npz_faults_name_the_key(tmp_path, task, arrays, words):
    np.savez(tmp_path / "a.npz", **{key: np.asarray(value) for key, value in arrays.items()})
    with pytest.raises(FoldstackError, match=words) as caught:
        npz.read(tmp_path / "a.npz", task=task)
    assert "a.npz" in str(caught.value)


def test_npz_that_is_no_archive(tmp_path):
    np.save(tmp_path / "array.npy", X)
    np.savez(tmp_path / "good.npz", x=X, y=[0, 1])
    content = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_bytes(b"hello")
    for name in ("array.npy", "cut.npz", "empty.npz", "text.npz", "none.npz"):
        with pytest.raises(FoldstackError, match=name):
            npz.read(tmp_path / name, task="images")


def test_digits_are_real_and_use_the_whole_range():
    source = digits.read_digits()
    pixels = np.stack(source.items)
    assert pixels.shape == (1797, 1, 8, 8, 1)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert len(set(source.rows["label"])) == 10


def test_digit_pairs_say_which_is_larger_and_share_images_within_a_group_only():
    single, source = digits.read_digits(), digits.read_pairs(seed=3)
    digit = dict(zip(single.rows["sample_id"], map(int, single.rows["label"]), strict=True))
    users: dict[str, set] = {}
    for row, item in zip(source.rows.itertuples(), source.items, strict=True):
        left, right = (f"digit/{number}" for number in row.sample_id.removeprefix("pair/").split("-"))
        assert row.label == ("left_larger" if digit[left] > digit[right] else "right_larger")
        assert digit[left] != digit[right]
        assert item.shape == (2, 8, 8, 1)
        for name in (left, right):
            users.setdefault(name, set()).add(row.group)
    assert max(map(len, users.values())) == 1
    assert source.rows["label"].value_counts().nunique() == 1  # both orders of every pair
    assert digits.read_pairs(seed=3).rows.equals(source.rows)
    assert not digits.read_pairs(seed=4).rows.equals(source.rows)


def medmnist(path, **more):
    x = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    y = (np.arange(12) % 3)[:, None]
    arrays = {"train_images": x[:6], "train_labels": y[:6], "val_images": x[6:9], "val_labels": y[6:9]}
    arrays |= {"test_images": x[9:], "test_labels": y[9:]}
    np.savez(path, **{key: value for key, value in (arrays | more).items() if value is not None})
    return x


def test_npz_as_medmnist_writes_it(tmp_path):
    x = medmnist(tmp_path / "blood.npz", extra=[1])
    source = npz.read(tmp_path / "blood.npz", task="images")
    assert source.test_given
    assert source.rows["split"].tolist() == ["train"] * 9 + ["test"] * 3
    assert source.rows["label"].tolist() == list("012") * 4
    assert source.rows["sample_id"].tolist()[6] == "val/000000"
    assert np.array_equal(np.stack(source.items)[:, 0, ..., 0], x)
    assert source.intake.unused == ["extra"]
    with pytest.raises(FoldstackError, match=r"test_path is set too"):
        npz.read(tmp_path / "blood.npz", tmp_path / "blood.npz", task="images")


def test_npz_of_medmnist_with_several_labels_or_without(tmp_path):
    medmnist(tmp_path / "chest.npz", train_labels=np.zeros((6, 14), int))
    with pytest.raises(FoldstackError, match=r"key 'y' has shape \(6, 14\)"):
        npz.read(tmp_path / "chest.npz", task="images")
    medmnist(tmp_path / "blood.npz", test_labels=None)
    source = npz.read(tmp_path / "blood.npz", task="images")
    assert not source.test_given
    assert len(source.intake.passed_over) == 3
    assert "3 images in test_images without labels" in source.intake.notes[0]


def test_npz_keys_of_other_names_are_named_in_the_config(tmp_path):
    np.savez(tmp_path / "a.npz", data=X, target=[0, 1], groups=["g", "h "], more=[1])
    with pytest.raises(FoldstackError, match=r"no key 'x'.*data\.columns: \{x: data\}"):
        npz.read(tmp_path / "a.npz", task="images")
    given = {"x": "data", "y": "target", "group": "groups"}
    source = npz.read(tmp_path / "a.npz", task="images", given=given)
    assert source.rows["group"].tolist() == ["g", "h"]
    assert source.intake.columns == given
    assert source.intake.unused == ["more"]
    with pytest.raises(FoldstackError, match="did you mean 'group'"):
        npz.read(tmp_path / "a.npz", task="images", given={"x": "data", "y": "target"})
    with pytest.raises(FoldstackError, match=r"no labels.*predict\.path"):
        npz.read(tmp_path / "a.npz", task="images", given={"x": "data", "group": None})


def test_csv_groups_and_splits_with_blanks_are_the_same_groups(tmp_path):
    (tmp_path / "x.csv").write_text("path,label,group,split\na.png,a,p1, train\nb.png,b,p1 ,train\n")
    rows = csv_table.read(tmp_path / "x.csv").rows
    assert rows["group"].tolist() == ["p1", "p1"]
    assert rows["split"].tolist() == ["train", "train"]


def test_csv_of_a_folder_elsewhere(tmp_path):
    picture(tmp_path / "data" / "deep" / "1.png")
    (tmp_path / "x.csv").write_text(f"path,label\ndeep/1.png,a\n{tmp_path}/data/deep/2.png,b\n")
    source = csv_table.read(tmp_path / "x.csv", images=tmp_path / "data")
    assert source.rows["sample_id"].tolist() == ["deep/1.png", "deep/2.png"]
    assert source.items[0] == tmp_path / "data" / "deep" / "1.png"
    with pytest.raises(FoldstackError, match=r"row 2: .*relative path"):
        csv_table.read(tmp_path / "x.csv", images=tmp_path / "elsewhere")
