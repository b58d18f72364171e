"""foldstack.data.intake through the whole data stage: counts add up, and what is odd is said."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_config import section
from PIL import Image

from foldstack import tables
from foldstack.data.prepare import prepare
from foldstack.errors import FoldstackError

FILES = {
    "samples": "samples.parquet", "pixels": "pixels.npy", "dataset": "dataset.json", "quarantine": "quarantine.csv",
    "pairs": "duplicates.parquet", "intake": "intake.json",
}  # fmt: skip


def run(out, path, **config):
    """(dataset.json, samples, intake.json) of a prepared data set."""
    config = {key: str(value) if isinstance(value, Path) else value for key, value in config.items()}
    given = section("data", **{"format": "imagefolder", "path": str(path)} | config)
    summary = prepare(given, **{key: out / name for key, name in FILES.items()})
    return summary, tables.read_samples(out / "samples.parquet"), json.loads((out / "intake.json").read_text())


def pixels(number, label=0, size=12):
    x = np.random.default_rng(number).integers(0, 90, (size, size, 3), dtype=np.uint8)
    x[..., label] += 150
    return x


def folders(root, count=20, classes=("a", "b")):
    for i in range(count):
        path = root / classes[i % len(classes)] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(i, i % len(classes))).save(path)
    return root


def stack(path, number, pages=3, signal=120):
    """A TIFF of several pages of which the second tells the class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 60, (pages, 16, 16), dtype=np.uint8)
    if pages > 1:
        noise[1] += signal
    first, *others = map(Image.fromarray, noise)
    first.save(path, save_all=True, append_images=others)


def test_the_account_of_a_folder_adds_up(tmp_path):
    root = folders(tmp_path / "in", 40)
    (root / "a" / "notes.txt").write_text("no image")
    (root / "a" / "@eaDir").mkdir()
    (root / "a" / "@eaDir" / "t.jpg").touch()
    (root / "b" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    (root / "b" / "empty.png").touch()
    summary, samples, found = run(tmp_path / "out", root)
    assert (found["found"], found["taken"], found["passed_over"], found["quarantined"]) == (44, 40, 2, 2)
    assert found["by_suffix"][".png"] == {"taken": 40, "passed_over": 0, "quarantined": 1}
    assert found["by_suffix"][".jpg"] == {"taken": 0, "passed_over": 1, "quarantined": 0}
    assert found["why_quarantined"][0]["first"] == "b/x.heic"
    assert "pillow-heif" in found["why_quarantined"][0]["reason"]
    assert found["classes"] == {name: {"train": 16, "test": 4} for name in "ab"}
    assert found["splits"] == {"train": 32, "test": 8, "test_from": "cut off here"}
    found = run(tmp_path / "whole", tmp_path / "in", test_fraction=0)[2]
    assert found["splits"] == {"train": 40, "test": 0, "test_from": "left out (data.test_fraction: 0)"}
    assert len(samples) == 40
    assert summary["quarantined"] == 2
    assert found["lines"][0].startswith("Data: 40 of 44 files taken; 2 passed over (")


def test_heic_and_missing_suffixes_count_towards_what_may_be_left_out(tmp_path):
    root = folders(tmp_path / "in")
    for i in range(6):
        (root / "a" / f"IMG_{i}.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
        shutil.copy(root / "a" / "000.png", root / "b" / f"download{i}")
    with pytest.raises(
        FoldstackError, match=r"12 of 32 samples cannot be used.*pillow-heif.*6 × holds a PNG image, but"
    ):
        run(tmp_path / "out", root)
    assert run(tmp_path / "out", root, max_quarantined=0.5)[2]["quarantined"] == 12


def test_heic_is_read_where_its_package_is_installed(tmp_path):
    """By a stand-in for pillow-heif, in a process of its own: it registers itself when decode is imported."""
    (tmp_path / "pillow_heif.py").write_text(
        "from PIL import Image, PngImagePlugin\n"
        "class Heif(PngImagePlugin.PngImageFile):\n"
        "    format = 'HEIF'\n"
        "def register_heif_opener():\n"
        "    Image.register_open('HEIF', Heif, lambda head: head[:4] == b'\\x89PNG')\n"
        "    Image.register_extensions('HEIF', ['.heic', '.heif'])\n"
    )
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    (tmp_path / "in" / "x").mkdir(parents=True)
    shutil.copy(tmp_path / "a.png", tmp_path / "in" / "x" / "photo.HEIC")
    code = (
        "import sys; from pathlib import Path; from foldstack.data.formats.source import walk\n"
        "from foldstack.data import decode\n"
        f"root = Path({str(tmp_path / 'in')!r})\n"
        "print([file.name for file in walk(root)], 'HEIF' in decode.FORMATS)\n"
    )
    scripts = Path(__file__).resolve().parents[3] / "workflow" / "scripts"
    for path, expected in (([tmp_path], "['photo.HEIC'] True"), ([], "[] False")):
        environment = {"PYTHONPATH": ":".join(map(str, [*path, scripts]))}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


def test_the_account_of_a_table_names_columns_and_how_it_was_read(tmp_path):
    folders(tmp_path / "images")
    rows = [
        ("bild", "befund", "patient", "more"),
        *((f"{'ab'[i % 2]}\\{i:03d}", "xy"[i % 2], f"p{i // 4}", "?") for i in range(18)),
    ]
    (tmp_path / "t.csv").write_bytes("\n".join(";".join(row) for row in rows).encode("utf-16"))
    columns = {"path": "bild", "label": "befund", "group": "patient"}
    config = {"format": "csv", "columns": columns, "images": tmp_path / "images", "suffix": ".png"}
    _, samples, found = run(tmp_path / "out", tmp_path / "t.csv", **config)
    assert found["unit"] == "rows"
    assert found["columns"] == columns
    assert found["unused"] == ["more"]
    assert found["facts"] == ["t.csv: semicolon, utf-16.", "t.csv: in 18 paths \\ was read as /."]
    assert found["notes"] == ["2 images in the same folders are listed in no row (018.png)."]
    assert found["groups"] == {"groups": 5, "samples": 18}
    assert found["by_suffix"] == {".png": {"taken": 18, "passed_over": 0, "quarantined": 0}}
    assert samples["sample_id"][0] == "a/000"
    assert samples["source"][0] == "a/000.png"
    assert samples.groupby("group")["split"].nunique().max() == 1


def test_one_column_a_class(tmp_path):
    folders(tmp_path / "in")
    frame = pd.DataFrame({"path": [f"{'ab'[i % 2]}/{i:03d}.png" for i in range(20)]})
    frame["MEL"], frame["NV"] = [1.0, 0.0] * 10, [0, 1] * 10
    frame.to_csv(tmp_path / "in" / "t.csv", index=False)
    config = {"format": "csv", "columns": {"label": ["MEL", "NV"]}}
    assert run(tmp_path / "out", tmp_path / "in" / "t.csv", **config)[0]["classes"] == ["MEL", "NV"]
    for value, words in ((0.5, "row 1: 'MEL' holds '0.5', neither 0 nor 1"), (0, "row 1: 0 of the columns")):
        frame.loc[0, "MEL"] = value
        frame.to_csv(tmp_path / "in" / "t.csv", index=False)
        with pytest.raises(FoldstackError, match=words):
            run(tmp_path / "out", tmp_path / "in" / "t.csv", **config)


@pytest.mark.parametrize(
    ("cell", "words"),
    [("im{:03d}", r"set data\.suffix: \.png"), ("elsewhere/im{:03d}.png", "no folder 'elsewhere'")],
)
def test_a_table_whose_files_are_not_there_says_where_it_looked(tmp_path, cell, words):
    for i in range(20):
        Image.fromarray(pixels(i)).save(tmp_path / f"im{i:03d}.png")
    rows = ["path,label", *(f"{cell.format(i)},{'ab'[i % 2]}" for i in range(20))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    with pytest.raises(FoldstackError, match=rf"None of the 20 images can be read; the first is '{tmp_path}.*{words}"):
        run(tmp_path / "out", tmp_path / "t.csv", format="csv")
    rows[1:19] = [f"im{i:03d}.png,{'ab'[i % 2]}" for i in range(18)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    with pytest.raises(FoldstackError, match=rf"2 of 20 samples cannot be used.*{words}"):
        run(tmp_path / "out", tmp_path / "t.csv", format="csv")


def test_one_image_under_two_labels_is_counted_with_its_ids(tmp_path):
    root = folders(tmp_path / "in")
    shutil.copy(root / "a" / "000.png", root / "b" / "again.png")
    shutil.copy(root / "a" / "002.png", root / "a" / "harmless.png")
    Image.fromarray(pixels(4, 0) + 1).save(root / "b" / "nearly.png")
    summary, _, found = run(tmp_path / "out", root)
    assert summary["two_labels"] == {
        "identical": 1,
        "near": 1,
        "pairs": [["a/000.png", "b/again.png"], ["a/004.png", "b/nearly.png"]],
    }
    assert found["notes"][0].startswith(
        "Under two labels: identical images 1, pairs of nearly equal ones 1 (first a/000.png"
    )


def test_pairs_that_share_one_image_may_have_two_labels(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    left, right = np.concatenate([x, x[:1], x[:1]]), np.concatenate([x[::-1], x[1:2], x[-1:]])
    np.savez(tmp_path / "a.npz", xa=left, xb=right, y=[0, 1] * 10 + [1, 1])
    summary = run(tmp_path / "out", tmp_path / "a.npz", format="npz_pairs")[0]
    assert summary["two_labels"]["identical"] == len(summary["two_labels"]["pairs"]) == 1


def deep(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint16)).save(path)


def test_12_bit_values_in_16_bit_files_are_noticed_and_can_be_declared(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(20):
        deep(tmp_path / "in" / "ab"[i % 2] / f"{i}.png", rng.integers(0, 4096, (16, 16)))
    usual, _, found = run(tmp_path / "usual", tmp_path / "in")
    assert "stay at or below 4095 of 65535, so at most 16 of 256 grey levels" in found["notes"][0]
    assert "set data.bits: 12" in found["notes"][0]
    summary, _, found = run(tmp_path / "twelve", tmp_path / "in", bits=12)
    assert found["notes"] == []
    assert summary["reading"] == {"bits": 12}
    assert usual["reading"] == {}
    assert summary["digest"] != usual["digest"]
    assert np.load(tmp_path / "twelve" / "pixels.npy").max() == 255
    with pytest.raises(FoldstackError, match=r"does not fit into the 10 bits of data\.bits"):
        run(tmp_path / "ten", tmp_path / "in", bits=10)
    deep(tmp_path / "in" / "a" / "bright.png", np.full((16, 16), 40000))
    assert run(tmp_path / "full", tmp_path / "in")[2]["notes"] == []


def test_where_a_cut_fails_for_grey_levels_that_were_lost_that_is_said(tmp_path):
    for i in range(20):
        deep(tmp_path / "in" / "ab"[i % 2] / f"{i}.png", np.random.default_rng(i).integers(200, 256, (16, 16)))
    with pytest.raises(FoldstackError, match=r"No test split.* set data\.bits: 8"):
        run(tmp_path / "out", tmp_path / "in")


def test_pages_are_counted_and_the_user_says_which_count(tmp_path):
    for i in range(20):
        stack(tmp_path / "in" / "ab"[i % 2] / f"{i:02d}.tif", i, signal=60 + 100 * (i % 2))
    with pytest.raises(
        FoldstackError, match=r"20 of 20 files hold several pages \(the first is 'a/00.tif': 3\).*data\.pages"
    ):
        run(tmp_path / "out", tmp_path / "in")
    first, _, found = run(tmp_path / "first", tmp_path / "in", pages="first")
    assert found["notes"] == ["20 files hold more pages than are used (a/00.tif: 3): page 1 is read."]
    assert (first["channels"], first["reading"]) == (1, {})
    summary, samples, found = run(tmp_path / "rgb", tmp_path / "in", pages="rgb")
    assert found["notes"] == []
    assert (summary["channels"], summary["reading"]) == (3, {"pages": "rgb"})
    stored = np.load(tmp_path / "rgb" / "pixels.npy")
    with Image.open(tmp_path / "in" / samples["source"][0]) as second:
        second.seek(1)
        assert np.array_equal(stored[samples["row"][0]][..., 1], np.asarray(second))
    stack(tmp_path / "in" / "a" / "single.tif", 99, pages=1)
    assert "1 page, but data.pages: rgb takes 3" in run_quarantine(tmp_path, pages="rgb", max_quarantined=0.1)


def run_quarantine(tmp_path, **config):
    run(tmp_path / "left", tmp_path / "in", **config)
    return pd.read_csv(tmp_path / "left" / "quarantine.csv")["reason"].iloc[0]


@pytest.mark.parametrize("config", [{"bits": 12}, {"pages": "rgb"}])
def test_encoded_files_are_read_again_as_they_were_read(tmp_path, config):
    rng = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / "in" / "ab"[i % 2] / f"{i}.tif"
        if "bits" in config:
            deep(path, rng.integers(0, 4096, (16, 16)))
        else:
            stack(path, i)
    from foldstack.data.pixels import open_pixels

    run(tmp_path / "pixels", tmp_path / "in", store="pixels", **config)
    run(tmp_path / "encoded", tmp_path / "in", store="encoded", **config)
    stored, again = (open_pixels(tmp_path / kind / "pixels.npy")[:] for kind in ("pixels", "encoded"))
    assert np.array_equal(stored, again)


def test_animations_transparency_and_colour_are_said(tmp_path):
    root = folders(tmp_path / "in")
    frames = [Image.fromarray(pixels(i)) for i in (50, 51)]
    frames[0].save(root / "a" / "moving.gif", save_all=True, append_images=frames[1:])
    see_through = Image.fromarray(pixels(60)).convert("RGBA")
    see_through.putpixel((0, 0), (0, 0, 0, 0))
    see_through.save(root / "a" / "through.png")
    Image.fromarray(pixels(61)).convert("RGBA").save(root / "b" / "opaque.png")
    notes = run(tmp_path / "out", root, channels=1)[2]["notes"]
    assert notes == [
        "1 files are animations (a/moving.gif): the first frame is read.",
        "1 files have transparent pixels (a/through.png), which are shown on white.",
        "23 files have colour (a/000.png), which is read as grey.",
    ]


def test_archives_beside_those_that_are_read_are_said(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    for name, part in (("train", slice(0, 20)), ("val", slice(20, 26))):
        np.savez(tmp_path / f"{name}.npz", x=x[part], y=(np.arange(30) % 2)[part])
    np.savez(tmp_path / "test_public.npz", x=x[26:])
    found = run(tmp_path / "out", tmp_path, format="npz")[2]
    assert (found["found"], found["taken"], found["passed_over"]) == (30, 26, 4)
    assert found["notes"] == ["test_public.npz, 4 samples without labels, is not read; predict.path would label it."]
    assert found["splits"]["test_from"] == "cut off here"
    np.savez(tmp_path / "test_public.npz", x=x[26:], y=np.arange(4) % 2)
    (tmp_path / "test_public.npz").rename(tmp_path / "Testing.npz")
    with pytest.raises(FoldstackError, match=r"looks like the test split.*data\.test_path"):
        run(tmp_path / "out", tmp_path, format="npz")
    (tmp_path / "Testing.npz").rename(tmp_path / "extra.npz")
    assert "with labels, is not read" in run(tmp_path / "out", tmp_path, format="npz")[2]["notes"][0]
    (tmp_path / "extra.npz").write_bytes(b"broken")
    assert run(tmp_path / "out", tmp_path, format="npz")[2]["passed_over"] == 1


def test_classes_that_look_alike_and_labels_with_blanks(tmp_path):
    root = folders(tmp_path / "in", classes=("cat", "Cat"))
    with pytest.raises(FoldstackError, match=r"'Cat' .* and 'cat' .* look alike"):
        run(tmp_path / "out", root)
    joined = run(tmp_path / "out", folders(root, classes=("cat", "dog")), labels={"Cat": "cat"})
    assert joined[0]["classes"] == ["cat", "dog"]
    assert joined[2]["facts"] == ["The label 'Cat' (10 samples) was read as 'cat'."]


def test_test_and_training_folders_with_accents_in_two_forms_are_one_class(tmp_path):
    for split, name in (("train", "cafe\u0301"), ("train", "b"), ("test", "caf\u00e9"), ("test", "b")):
        folders(tmp_path / "in" / split / name / "x", 6, classes=(split,))
        for i, path in enumerate(sorted((tmp_path / "in" / split / name).rglob("*.png"))):
            Image.fromarray(pixels(hash((split, name, i)) % 2**31)).save(path)
    assert run(tmp_path / "out", tmp_path / "in")[0]["classes"] == ["b", "caf\u00e9"]


def test_the_account_says_nothing_of_the_machine(tmp_path):
    folders(tmp_path / "in")
    run(tmp_path / "out", tmp_path / "in")
    assert str(tmp_path) not in (tmp_path / "out" / "intake.json").read_text()
