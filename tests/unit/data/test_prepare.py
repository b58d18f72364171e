"""foldstack.data.prepare, store and testsplit: the four files, their checks, and that equal input gives equal bytes."""

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from data_config import section
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import prepare_data
from foldstack import tables
from foldstack.data import store
from foldstack.data.pixels import open_pixels
from foldstack.data.prepare import class_order, prepare
from foldstack.data.testsplit import cut
from foldstack.data.ties import components
from foldstack.errors import FoldstackError

DEFAULTS = section("data", format="npz")
FILES = {
    "samples": "samples.parquet",
    "pixels": "pixels.npy",
    "dataset": "dataset.json",
    "quarantine": "quarantine.csv",
    "pairs": "duplicates.parquet",
    "intake": "intake.json",
}


def run(folder: Path, threads: int = 1, **config):
    out = {key: folder / name for key, name in FILES.items()}
    config = DEFAULTS | {key: str(value) if isinstance(value, Path) else value for key, value in config.items()}
    summary = prepare(config, **out, threads=threads)
    assert summary == json.loads(out["dataset"].read_text())
    samples = tables.read_samples(out["samples"])
    return summary, samples, np.load(out["pixels"], mmap_mode="r"), pd.read_csv(out["quarantine"])


def images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def write_folder(root: Path, count: int = 20, size=(6, 5), mode="RGB") -> Path:
    for i, pixels in enumerate(images(count, *size, 3)):
        path = root / f"class{i % 2}" / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert(mode).save(path)
    return root


def test_rows_pixels_and_summary_agree(tmp_path):
    x, y = images(40, 5, 4), np.arange(40) % 4
    np.savez(tmp_path / "a.npz", x=x, y=y)
    summary, samples, pixels, quarantine = run(tmp_path / "out", path=tmp_path / "a.npz")
    assert pixels.shape == (40, 5, 4, 1)
    for row in samples.itertuples():
        number = int(row.sample_id.removeprefix("train/"))
        assert np.array_equal(pixels[row.row][..., 0], x[number])
        assert summary["classes"][row.label] == str(y[number])
    assert samples["sample_id"].is_monotonic_increasing
    assert summary["counts"] == {"train": dict.fromkeys("0123", 8), "test": dict.fromkeys("0123", 2)}
    assert (summary["task"], summary["image_size"], summary["channels"]) == ("images", [5, 4], 1)
    assert (summary["quarantined"], len(quarantine)) == (0, 0)


def test_pairs_have_two_views_and_two_hashes(tmp_path):
    left, right = images(20, 4, 4), images(20, 4, 4)[::-1]
    np.savez(tmp_path / "a.npz", xa=left, xb=right, y=np.arange(20) % 2)
    summary, samples, pixels, _ = run(tmp_path / "out", format="npz_pairs", path=tmp_path / "a.npz", test_fraction=0.5)
    assert pixels.shape == (20, 2, 4, 4, 1)
    assert summary["task"] == "pairs"
    assert samples["view_hashes"].map(len).eq(2).all()
    first, last = samples.iloc[0], samples.iloc[-1]  # the same two images in the other order
    assert set(first["view_hashes"]) == set(last["view_hashes"])
    assert first["hash"] != last["hash"]
    assert first["split"] == last["split"]


@pytest.mark.parametrize("kind", ["pixels", "encoded"])
def test_equal_input_gives_equal_bytes_whatever_the_threads(tmp_path, kind):
    """With files that cannot be read, odd ones and near duplicates, which threads meet in another order each time."""
    root = write_folder(tmp_path / "data", count=60, size=(20, 18))
    for i in range(0, 60, 7):
        (root / "class0" / f"{i:03d} broken.png").write_bytes(b"" if i % 2 else b"no image")
        pixels = np.asarray(Image.open(next(root.glob(f"*/{i:03d}.png")))).astype(int)
        Image.fromarray(np.clip(pixels + 3, 0, 255).astype(np.uint8)).save(root / "class1" / f"{i:03d} again.png")
        Image.new("RGBA", (18, 20), (i, 0, 0, 9)).save(root / "class1" / f"{i:03d} clear.png")
    for threads in (1, 2, 3):
        given = {"format": "imagefolder", "path": root, "max_quarantined": 0.5, "store": kind}
        summary, *_ = run(tmp_path / str(threads), threads=threads, **given)
    assert summary["near_duplicates"]["train"] > 0
    assert summary["quarantined"] == 9
    for name, threads in itertools.product(FILES.values(), "23"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / threads / name).read_bytes()


def test_the_first_error_is_the_same_whatever_the_threads(tmp_path):
    root = write_folder(tmp_path / "data", count=30)
    for i in range(9):
        (root / "class0" / f"{i:03d} broken.png").write_bytes(b"" if i % 2 else b"no image")
    said = set()
    for threads in (1, 2, 3):
        with pytest.raises(FoldstackError, match="9 of 39 samples") as refused:
            run(tmp_path / "out", threads=threads, format="imagefolder", path=root)
        said.add(str(refused.value))
    assert len(said) == 1


def test_images_are_read_only_a_little_ahead_of_the_writer():
    """Whatever the number of images, those in memory are few."""
    asked, items = [], [Path(f"{i}.png") for i in range(5000)]

    class Counting(list):
        def __iter__(self):
            return (asked.append(item) or item for item in list.__iter__(self))

    decoded = store.decoded(Counting(items), store.Geometry(4, 4, 3, "crop"), threads=2)
    assert next(decoded) == "cannot be read: No such file or directory"
    assert len(asked) <= store.GROUP * store.AHEAD
    assert len([*decoded]) == 4999


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_encoded_files_give_the_pixels_and_all_else_that_pixels_give(tmp_path, fit):
    root = write_folder(tmp_path / "data")
    write_folder(root, count=3, size=(40, 31), mode="L")  # takes the place of some
    (root / "class0" / "broken.png").write_bytes(b"")
    for kind in ("pixels", "encoded"):
        run(tmp_path / kind, threads=2, format="imagefolder", path=root, image_size=[24, 20], fit=fit, store=kind)
    for name in set(FILES.values()) - {"pixels.npy"}:
        assert (tmp_path / "pixels" / name).read_bytes() == (tmp_path / "encoded" / name).read_bytes()
    pixels, encoded = (open_pixels(tmp_path / kind / "pixels.npy", 2) for kind in ("pixels", "encoded"))
    assert (encoded.shape, encoded.nbytes, len(encoded)) == (pixels.shape, pixels.nbytes, len(pixels))
    rows = np.array([7, 3, 7, 19])
    for chosen in (slice(None), slice(2, 5), rows, rows[:0], 4, np.int64(5)):
        assert np.array_equal(encoded[chosen], pixels[chosen])
        assert encoded[chosen].dtype == np.uint8


def test_a_file_that_decodes_to_something_else_is_refused(tmp_path):
    root = write_folder(tmp_path / "data")
    run(tmp_path / "out", format="imagefolder", path=root, store="encoded")
    path = tmp_path / "out" / "pixels.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-57] + bytes([content[-57] ^ 1]) + content[-56:])  # the last row's hash
    pixels = open_pixels(path)
    assert len(pixels[:19]) == 19
    with pytest.raises(FoldstackError, match="row 19: the image decodes to other pixels"):
        pixels[:]
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FoldstackError, match="cannot be read"):
        open_pixels(path)


def test_bytes_are_kept_where_pixels_would_take_too_much_of_the_disk(tmp_path, monkeypatch, capsys):
    items = list(write_folder(tmp_path / "data").rglob("*.png"))
    needed = 20 * 64 * 64 * 3
    for free, asked, shape, expected in [
        (needed * 2, "auto", (64, 64, 3), False),
        (needed * 2 - 1, "auto", (64, 64, 3), True),
        (needed * 2 - 1, "pixels", (64, 64, 3), False),
        (0, "auto", (4, 4, 3), False),  # the files are larger than their pixels
        (needed * 9, "encoded", (64, 64, 3), True),
    ]:
        monkeypatch.setattr(store.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert store.keeps_encoded(asked, 0.5, items, shape, tmp_path) is expected
    said = capsys.readouterr().out
    assert said.count("kept as encoded bytes") == said.count("even larger") == 1
    arrays = list(images(3, 1, 4, 4, 3))
    assert not store.keeps_encoded("auto", 0.5, arrays, (64, 64, 3), tmp_path)
    with pytest.raises(FoldstackError, match="set it to pixels"):
        store.keeps_encoded("encoded", 0.5, arrays, (64, 64, 3), tmp_path)


def test_moving_the_data_changes_nothing(tmp_path):
    write_folder(tmp_path / "data")
    run(tmp_path / "one", format="imagefolder", path=tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    run(tmp_path / "two", format="imagefolder", path=tmp_path / "moved")
    for name in FILES.values():
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("change", ["x", "y", "id", "group", "fold"])
def test_digest_changes_with_all_that_counts(tmp_path, change):
    arrays = {"x": images(20, 4, 4), "y": np.arange(20) % 2, "id": np.array([f"s{i:02d}" for i in range(20)])}
    arrays |= {"group": np.array([f"g{i:02d}" for i in range(20)]), "fold": np.arange(20) % 3}
    np.savez(tmp_path / "test.npz", x=images(2, 4, 4)[::-1], y=[0, 1])
    config = {"test_path": tmp_path / "test.npz"}
    np.savez(tmp_path / "a.npz", **arrays)
    before = run(tmp_path / "out", path=tmp_path / "a.npz", **config)[0]["digest"]
    changed = arrays[change].copy()
    changed[0] = {"x": 1, "y": 1, "id": "zzz", "group": "zzz", "fold": 2}[change]
    np.savez(tmp_path / "a.npz", **arrays | {change: changed})
    assert run(tmp_path / "out", path=tmp_path / "a.npz", **config)[0]["digest"] != before


def test_unreadable_files_are_quarantined_with_a_reason(tmp_path):
    root = write_folder(tmp_path / "data", 40)
    (root / "class0" / "zero.png").write_bytes(b"")
    (root / "class1" / "half.png").write_bytes((root / "class1" / "001.png").read_bytes()[:60])
    summary, samples, pixels, quarantine = run(tmp_path / "out", format="imagefolder", path=root)
    assert summary["quarantined"] == 2
    assert quarantine["source"].tolist() == ["class0/zero.png", "class1/half.png"]
    assert quarantine["reason"][0] == "the file is empty"
    assert len(samples) == len(pixels) == 40
    assert samples["row"].tolist() == list(range(40))
    for row in samples.itertuples():
        assert np.array_equal(pixels[row.row], np.asarray(Image.open(root / row.source)))


def test_too_many_unreadable_files_stop_the_workflow(tmp_path):
    root = write_folder(tmp_path / "data", 20)
    for i in range(2):
        (root / "class0" / f"zero{i}.png").write_bytes(b"")
    with pytest.raises(FoldstackError, match=r"2 of 22 samples.*max_quarantined \(0.05\).*class0/zero0.png.*empty"):
        run(tmp_path / "out", format="imagefolder", path=root)
    assert not list((tmp_path / "out").iterdir())
    assert run(tmp_path / "out", format="imagefolder", path=root, max_quarantined=0.1)[0]["quarantined"] == 2


@pytest.mark.parametrize("limit", [0.5, 1.0])
def test_a_class_may_not_vanish_into_quarantine(tmp_path, limit):
    root = write_folder(tmp_path / "data", 20)
    (root / "rare").mkdir()
    (root / "rare" / "zero.png").write_bytes(b"")
    with pytest.raises(FoldstackError, match="Class 'rare' has no readable training sample"):
        run(tmp_path / "out", format="imagefolder", path=root, max_quarantined=limit)


def test_size_is_the_common_one_or_224(tmp_path):
    root = write_folder(tmp_path / "data")
    assert run(tmp_path / "a", format="imagefolder", path=root)[0]["image_size"] == [6, 5]
    Image.new("RGB", (9, 9)).save(root / "class0" / "other.png")
    assert run(tmp_path / "b", format="imagefolder", path=root)[0]["image_size"] == [224, 224]
    assert run(tmp_path / "c", format="imagefolder", path=root, image_size=[3, 7])[2].shape == (21, 3, 7, 3)
    np.savez(tmp_path / "large.npz", x=images(10, 257, 2), y=np.arange(10) % 2)
    assert run(tmp_path / "d", path=tmp_path / "large.npz")[0]["image_size"] == [224, 224]
    assert run(tmp_path / "e", path=tmp_path / "large.npz", image_size=4)[0]["image_size"] == [4, 4]


@pytest.mark.parametrize(("mode", "found"), [("L", 1), ("RGB", 3)])
def test_channels_are_those_of_the_images(tmp_path, mode, found):
    root = write_folder(tmp_path / "data", mode=mode)
    assert run(tmp_path / "a", format="imagefolder", path=root)[0]["channels"] == found
    assert run(tmp_path / "b", format="imagefolder", path=root, channels=1)[2].shape[-1] == 1
    assert run(tmp_path / "c", format="imagefolder", path=root, channels=3)[2].shape[-1] == 3


def test_csv_end_to_end_with_split_groups_captions(tmp_path):
    root = write_folder(tmp_path / "data")
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    frame = pd.DataFrame({"path": files, "label": [name.split("/")[0] for name in files]})
    frame["split"] = np.where(np.arange(20) % 5 == 0, "test", "train")
    frame["group"] = frame["split"] + "1"
    frame["caption"] = ["a caption", None] * 10
    frame["fold"] = np.arange(20) % 2
    frame.to_csv(root / "list.csv", index=False)
    summary, samples, _, _ = run(tmp_path / "out", format="csv", path=root / "list.csv")
    assert summary["counts"]["test"] == {"class0": 2, "class1": 2}
    assert samples["caption"].notna().sum() == 10
    assert samples.loc[samples["split"] == "test", "fold"].isna().all()
    assert samples.loc[samples["split"] == "train", "fold"].notna().all()


def test_a_group_in_both_given_splits_is_named(tmp_path):
    np.savez(tmp_path / "train.npz", x=images(10, 4, 4), y=np.arange(10) % 2, group=np.arange(10))
    np.savez(tmp_path / "test.npz", x=images(12, 4, 4)[10:], y=[0, 1], group=[70, 3])
    with pytest.raises(FoldstackError, match=r"Group '3'.*'train/000003'.*'test/000001'"):
        run(tmp_path / "out", path=tmp_path)


def test_duplicates_are_counted_and_tied_by_the_cut(tmp_path):
    x = images(30, 4, 4)
    x[1], x[2], x[29] = x[0], x[0], x[28]
    np.savez(tmp_path / "train.npz", x=x, y=np.arange(30) % 2)
    summary, samples, _, _ = run(tmp_path / "cut", path=tmp_path / "train.npz", test_fraction=0.3)
    assert summary["duplicates"]["train_test"] == 0
    assert samples.groupby("hash")["split"].nunique().max() == 1
    np.savez(tmp_path / "test.npz", x=x[[0, 5]], y=[0, 1])
    summary = run(tmp_path / "given", path=tmp_path)[0]
    assert summary["duplicates"] == {"train": 4, "train_test": 4}  # 3 pairs of x[0], 1 of x[28]; 3 and 1 across


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": [0, 0, 0, 0]}, "gives 1 class "),
        ({"y": [0, 1, 0, 1], "id": ["a", "b", "a", "c"]}, "Sample id 'a' occurs more than once"),
        ({"y": [0, 1, 0, 1], "group": ["a"] * 4}, "No test split of 0.2"),
    ],
)
def test_faults(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", x=images(4, 4, 4), **arrays)
    with pytest.raises(FoldstackError, match=words):
        run(tmp_path / "out", path=tmp_path / "a.npz")


def test_unknown_label_in_the_test_split_is_named(tmp_path):
    np.savez(tmp_path / "train.npz", x=images(4, 4, 4), y=[0, 1, 0, 1])
    np.savez(tmp_path / "test.npz", x=images(2, 4, 4), y=[0, 7])
    with pytest.raises(FoldstackError, match="'test/000001' has the label '7'"):
        run(tmp_path / "out", path=tmp_path)


def test_pairs_need_two_classes(tmp_path):
    np.savez(tmp_path / "a.npz", xa=images(6, 4, 4), xb=images(6, 4, 4), y=[0, 1, 2, 0, 1, 2])
    with pytest.raises(FoldstackError, match="two classes"):
        run(tmp_path / "out", format="npz_pairs", path=tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["10", "9", "-1"], ["-1", "9", "10"]), (["10", "9", "x"], ["10", "9", "x"]), (["b", "B", "a"], ["B", "a", "b"])],
)
def test_class_order(names, expected):
    assert class_order(pd.DataFrame({"sample_id": names, "label": names, "split": "train"})) == expected


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cut_never_separates_and_is_stratified(data):
    n = data.draw(st.integers(20, 80))
    labels = np.arange(n) % 2
    groups = data.draw(st.lists(st.one_of(st.none(), st.integers(0, 30).map(str)), min_size=n, max_size=n))
    fraction, seed = data.draw(st.sampled_from([0.1, 0.25, 0.5])), data.draw(st.integers(0, 5))
    frame = pd.DataFrame({"label": labels, "group": groups, "view_hashes": [[str(i)] for i in range(n)]})
    try:
        split = np.array(cut(frame, ["a", "b"], fraction, seed))
    except FoldstackError:
        return
    tied = components(groups, frame["view_hashes"].tolist())
    assert all(len(set(split[tied == c])) == 1 for c in range(tied.max() + 1))
    largest = np.bincount(tied).max()
    for label in (0, 1):
        assert abs((split[labels == label] == "test").sum() - fraction * n / 2) <= largest + 1
    assert split.tolist() == cut(frame, ["a", "b"], fraction, seed)


def test_ties_reach_through_chains():
    groups = ["a", None, "b", "a", None, None]
    views = [["1", "2"], ["2", "3"], ["3", "4"], ["5", "5"], ["6", "7"], ["a", "b"]]  # a hash is no group's name
    assert components(groups, views).tolist() == [0, 0, 0, 0, 1, 2]


def test_script(tmp_path):
    np.savez(tmp_path / "a.npz", x=images(20, 4, 4), y=np.arange(20) % 2)
    snakemake = SimpleNamespace(
        params=SimpleNamespace(
            config=json.dumps({"data": DEFAULTS | {"path": str(tmp_path / "a.npz")}}),
            get=lambda key, default=None: default,
        ),
        output=SimpleNamespace(**{Path(name).stem: str(tmp_path / name) for name in FILES.values()}),
        log=[str(tmp_path / "log")],
        threads=1,
        rule="prepare_data",
        wildcards={},
    )
    prepare_data.main(snakemake)
    assert len(tables.read_samples(tmp_path / "samples.parquet")) == 20
