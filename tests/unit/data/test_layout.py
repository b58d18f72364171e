"""foldstack.data.formats.layout and imagefolder: what opens as it is downloaded, and what is refused with a way on."""

import pytest
from PIL import Image

from foldstack.data.formats import imagefolder
from foldstack.data.formats.layout import split_of
from foldstack.errors import FoldstackError


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".png", ".jpg", ".JPEG")):
            Image.new("L", (4, 4)).save(root / name)
        else:
            (root / name).touch()


def classes(source):
    return sorted(set(zip(source.rows["split"], source.rows["label"], strict=True)))


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[
            (name, "train")
            for name in ("train", "Train", "TRAINING", "train_set", "training-data", "train2", "trainset")
        ],
        *[(name, "val") for name in ("valid", "Validation", "val_images", "dev", "eval")],
        *[(name, "test") for name in ("Testing", "test1", "test-set", "HOLDOUT", "test_2")],
        *[
            (name, None)
            for name in ("trained", "tested", "contest", "valve", "trains", "attest", "a_test", "devil", "1")
        ],
    ],
)
def test_names_that_read_as_splits(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["Training/a/1.png", "Testing/a/1.png"],
            r"Training/, Testing/.*data\.path: .*Training and data\.test_path: .*Testing",
        ),
        (["Train/a/1.png", "Train/b/1.png"], r"set data\.path: .*/Train;"),
        (["a/1.png", "b/1.png", "test/a/2.png"], "test/: by its name a split.*move it out"),
        (["train/a/1.png", "valid/a/1.png"], "'valid', which looks like its val split; rename it to val/"),
        (["train/a/1.png", "Test/a/1.png"], r"rename it to test/, or set data\.test_path: .*Test"),
        (["train/a/1.png", "extra/1.png"], "'extra', in which there are images"),
        (["train/cat.0.jpg", "test1/0.jpg"], "without class folders. train/ holds 1 .jpg.*are they in the names"),
        (["train/0.jpg", "valid/0.jpg", "train/_classes.csv"], r"are they in train/_classes\.csv"),
        (["a/train/1.png", "a/test/1.png", "b/train/1.png", "b/test/1.png"], "holds the folders test/, train/.*splits"),
        (["2019/a/1.png", "2019/b/1.png", "2020/a/1.png", "2020/b/1.png"], "a/, b/, which may be the classes"),
        (["images/a/1.png", "images/b/1.png", "labels.txt"], r"set data\.path: .*images"),
        (["x/train/a/1.png", "x/test/a/1.png"], r"one folder, x/, and in it test/, train/.*data\.path: .*x"),
        (["train/a/1.png", "val/1.png"], r"val holds 1 .png and no class folders: a table must say their labels"),
        (["train/a/1.png", "val/images/1.png"], "a table must say their labels"),
        (["train/a/1.png", "test/1.png", "test/labels.csv"], r"are they in labels\.csv.*predict\.path"),
        (["a/1.png", "b/1.xml", "b/2.xml"], r"b' holds no image file, only 2 .xml"),
        (["a/1.png", "b/1.heic"], r"b' holds no image file that is read \(1 × HEIC"),
        (["0.tar"], r"1 \.tar: shards of WebDataset.*unpack"),
        (["0.parquet"], "Parquet"),
        (["1.png", "2.png", "labels.csv"], r"set data\.format: csv and data\.path: .*labels\.csv"),
        (["1.png"], r"1 \.png.*predict\.path"),
        (["train.npz"], r"data\.format: npz"),
    ],
)
def test_a_layout_that_may_be_read_in_two_ways_is_refused(tmp_path, names, words):
    put(tmp_path, *names)
    with pytest.raises(FoldstackError, match=words):
        imagefolder.read(tmp_path)


def test_folders_that_the_config_names_are_classes_whatever_they_read_like(tmp_path):
    put(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png")
    named = imagefolder.read(tmp_path, named={"train", "test"})
    assert classes(named) == [("train", "test"), ("train", "train")]
    assert not named.test_given
    assert classes(imagefolder.read(tmp_path)) == [("test", "a"), ("test", "b"), ("train", "a"), ("train", "b")]


@pytest.mark.parametrize(
    "names",
    [
        ["car/1.png", "train/2.png"],  # a class of vehicles
        ["test/1.png", "control/1.png"],  # the arms of a study
        ["a/images/1.png", "b/images/1.png"],
        ["a/day/1.png", "a/night/1.png", "b/day/1.png", "c/1.png"],
        ["a/x/1.png", "a/1.png", "b/x/1.png", "a/y/1.png", "b/y/1.png"],
    ],
)
def test_folders_of_classes_stay_what_they_are(tmp_path, names):
    put(tmp_path, *names)
    assert {label for _, label in classes(imagefolder.read(tmp_path))} == {name.split("/")[0] for name in names}


def tiny_imagenet(root):
    for word in ("n01", "n02"):
        put(root, *[f"train/{word}/images/{word}_{i}.JPEG" for i in range(3)], f"train/{word}/{word}_boxes.txt")
    put(root, *[f"val/images/val_{i}.JPEG" for i in range(4)], *[f"test/images/test_{i}.JPEG" for i in range(5)])
    lines = [f"val_{i}.JPEG\tn0{i % 2 + 1}\t0\t0\t9\t9" for i in range(4)]
    (root / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
    put(root, "wnids.txt", "words.txt")


def test_tiny_imagenet_opens_as_it_is_downloaded(tmp_path):
    tiny_imagenet(tmp_path)
    source = imagefolder.read(tmp_path)
    assert classes(source) == [("train", "n01"), ("train", "n02")]
    assert not source.test_given
    labels = dict(zip(source.rows["sample_id"], source.rows["label"], strict=True))
    assert labels["val/images/val_1.JPEG"] == "n02"
    assert len(labels) == 10
    assert len(source.intake.passed_over) == 5 + 3 + 2
    assert source.intake.notes == [
        "test/ holds 5 images without labels, so it is not a test split; use predict.path to label them."
    ]


def test_images_and_lines_that_do_not_meet_are_left_out_and_said(tmp_path):
    tiny_imagenet(tmp_path)
    put(tmp_path, "val/images/extra.JPEG")
    with open(tmp_path / "val/val_annotations.txt", "a") as stream:
        stream.write("gone.JPEG\tn01\n")
    refused = dict(imagefolder.read(tmp_path).intake.refused)
    assert refused == {
        "val/images/extra.JPEG": "has no line in val_annotations.txt",
        "val/gone.JPEG": "is in val_annotations.txt, but does not exist",
    }
    (tmp_path / "val/val_annotations.txt").write_text("val_0.JPEG n01\n")
    with pytest.raises(FoldstackError, match=r"val_annotations\.txt, line 1"):
        imagefolder.read(tmp_path)


@pytest.mark.parametrize("names", [["test/1.png", "test/2.png"], ["test/images/1.png", "test/images/2.png"]])
def test_a_test_folder_without_labels_is_no_test_split(tmp_path, names):
    put(tmp_path, "train/a/1.png", "train/b/1.png", *names)
    source = imagefolder.read(tmp_path)
    assert not source.test_given
    assert len(source.rows) == 2
    assert "2 images without labels" in source.intake.notes[0]
    put(tmp_path.with_name("more"), "a/1.png")
    assert imagefolder.read(tmp_path, tmp_path.with_name("more")).test_given


def test_thumbnails_hidden_files_and_files_beside_the_splits_are_counted(tmp_path):
    put(tmp_path, "train/a/1.png", "train/b/1.png", "train/a/@eaDir/1.png/T.jpg", "__MACOSX/train/a/._1.png")
    put(tmp_path, "#recycle/1.png", ".git/config", "notes/readme.md", "preview.png", "train/a/.DS_Store")
    source = imagefolder.read(tmp_path)
    assert source.rows["sample_id"].tolist() == ["train/a/1.png", "train/b/1.png"]
    assert dict(source.intake.passed_over) == {
        "train/a/@eaDir/1.png/T.jpg": "in @eaDir/, left by a program",
        "__MACOSX/train/a/._1.png": "in __MACOSX/, left by a program",
        "#recycle/1.png": "in #recycle/, left by a program",
        ".git/config": "in .git/, hidden",
        "notes/readme.md": "beside train/, val/ and test/",
        "preview.png": "beside train/, val/ and test/",
        "train/a/.DS_Store": "hidden",
    }


def test_files_that_a_person_takes_for_images_are_left_out_with_the_remedy(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png", "a/raw.CR2", "a/ct.dcm", "a/notes.txt", "a/LICENSE")
    (tmp_path / "a" / "download").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    (tmp_path / "a" / "photo.jpg_large").write_bytes(b"\xff\xd8\xff\xe0" + bytes(50))
    (tmp_path / "a" / "slice").write_bytes(bytes(128) + b"DICM")
    source = imagefolder.read(tmp_path)
    assert dict(source.intake.refused) == {
        "a/raw.CR2": "a camera's raw file is not read; develop it to JPEG, PNG or TIFF",
        "a/ct.dcm": "DICOM is not read; export it to PNG",
        "a/download": "holds a PNG image, but its name has no suffix; rename it",
        "a/photo.jpg_large": "holds a JPEG image, but its name ends in '.jpg_large'; rename it",
        "a/slice": "DICOM is not read; export it to PNG",
    }
    assert {name for name, _ in source.intake.passed_over} == {"a/notes.txt", "a/LICENSE"}
