"""What the estimates start from: how large the data are, and what is known of each model's network.

Once the data are prepared, dataset.json says it. Before that, it is guessed from the names, sizes and headers of the
files that the config names. Standard library only: Snakemake asks at parse time.
"""

import ast
import contextlib
import json
import math
import os
import re
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from foldstack import text_table
from foldstack.reruns import sources

LARGEST_KEPT, USUAL = 256, 224  # px: a common size up to the first is kept, else the second is taken (data/store.py)
BUILT_IN = {"digits": (1797, 10, 1), "digits_pairs": (4880, 2, 2)}  # samples, classes, images a sample
IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".avif", ".heic", ".jp2"}
SPLIT = re.compile(r"(train|training|val|valid|validation|test|testing)", re.IGNORECASE)


@dataclass(frozen=True)
class Facts:
    """The size of the data.

    Attributes:
        train, test: samples.
        classes: how many; 0 where that is not known yet.
        shape: (views, height, width, channels) of a stored sample.
        stored: bytes of data/pixels.npy.
        prepared: from dataset.json, not guessed.
    """

    train: int
    test: int
    classes: int
    shape: tuple[int, int, int, int]
    stored: int
    prepared: bool

    @property
    def samples(self) -> int:
        return self.train + self.test


def of(config: dict, results: Path) -> Facts | None:
    """The facts of an experiment; None where nothing can be said before its data are prepared.

    Args:
        config: resolved.
        results: folder of the experiment.
    """
    with contextlib.suppress(OSError, ValueError, KeyError):
        dataset = json.loads((results / "data" / "dataset.json").read_text(encoding="utf-8"))
        train, test = (sum(dataset["counts"][split].values()) for split in ("train", "test"))
        height, width = dataset["image_size"]
        shape = 2 if dataset["task"] == "pairs" else 1, height, width, dataset["channels"]
        if config["data"]["image_size"] in (None, height, [height, width]):
            stored = (results / "data" / "pixels.npy").stat().st_size
            return Facts(train, test, len(dataset["classes"]), shape, stored, True)
    # Whatever is wrong with the data, the job that reads them says it; an estimate stops nothing.
    with contextlib.suppress(Exception):
        return _guessed(config["data"], results)
    return None


def networks(config: dict, results: Path) -> dict[str, dict | None]:
    """{model: its record of the rule trace_model, or None where it was not traced}."""
    found: dict[str, dict | None] = {}
    for model, block in config["models"].items():
        found[model] = None
        with contextlib.suppress(OSError, ValueError):
            path = results / "export" / "traces" / f"{model}.json"
            record = json.loads(path.read_text(encoding="utf-8"))
            found[model] = record if record["architecture"] == block["architecture"] else None
    return found


def _guessed(data: dict, results: Path) -> Facts | None:
    test, files = 0, 0
    if data["format"] in BUILT_IN:
        train, classes, views = BUILT_IN[data["format"]]
        shape = views, *_stored(data, (8, 8)), 1
    elif data["format"] in ("npz", "npz_pairs"):
        train, classes, shape = _archive(Path(data["path"]), data)
    else:
        found = sources.sizes(data)
        images = [file for file in found if os.path.splitext(file[1])[1].lower() in IMAGES]
        table, annotated = data["format"] == "csv", any(name.endswith("val_annotations.txt") for _, name, _ in found)
        train, test, classes = _of_table(Path(data["path"]), data) if table else _of_folders(images, data, annotated)
        channels = 3 if data["channels"] == "auto" else data["channels"]
        first = os.path.normpath(os.path.join(*min(images)[:2]))  # a table's images lie beside it, not below
        shape = 1, *_stored(data, _image_size(Path(first))), channels
        files = sum(size for _, _, size in images)
    if not test and not data["test_path"]:
        test = round(train * data["test_fraction"])
        train -= test
    stored = (train + test) * math.prod(shape)
    encoded = data["store"] == "encoded"
    if data["store"] == "auto" and 0 < files < stored:
        encoded = stored > data["store_share"] * free_space(results)
    return Facts(train, test, classes, shape, files if encoded else stored, False) if train else None


def free_space(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not exist yet."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _stored(data: dict, found: tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) in which samples will be stored, from the size of one of them."""
    asked = data["image_size"]
    if asked is not None:
        return (asked, asked) if isinstance(asked, int) else tuple(asked)
    return found if found and max(found) <= LARGEST_KEPT else (USUAL, USUAL)


def _of_folders(images: list[tuple[str, str, int]], data: dict, annotated: bool) -> tuple[int, int, int]:
    """(training samples, test samples, classes) by the folders that image files lie in.

    Args:
        images: of `sources.sizes`.
        annotated: whether a file says the labels of the images in val/.
    """
    classes: set[str] = set()
    counts = {"train": 0, "test": 0}
    for root, name, _ in images:
        folders = [part for part in name.split(os.sep)[:-1] if part.lower() != "images"]
        split = folders.pop(0).lower() if folders and SPLIT.fullmatch(folders[0]) else "train"
        if not folders and not (split.startswith("val") and annotated):
            continue  # images without a label
        given = root == data["test_path"] or split.startswith("test")
        counts["test" if given else "train"] += 1
        classes.update(folders[:1])
    return counts["train"], counts["test"], len(classes)


def _of_table(path: Path, data: dict) -> tuple[int, int, int]:
    """(training samples, test samples, classes) of a table."""
    table, found = text_table.open_table(path, "data", data["columns"], ["path", "label"])
    label, split = found.used.get("label"), found.used.get("split")
    test = 0
    if isinstance(split, str):
        test = sum(row[table.header.index(split)].strip().lower() == "test" for row in table.rows)
    if isinstance(label, str):
        classes = len({row[table.header.index(label)].strip() for row in table.rows})
    else:
        classes = len(label or ())
    return len(table.rows) - test, test, classes


def _archive(path: Path, data: dict) -> tuple[int, int, tuple[int, int, int, int]]:
    """(samples, classes, shape of a sample) of train.npz, or of one file, from the headers of its arrays."""
    with zipfile.ZipFile(path / "train.npz" if path.is_dir() else path) as archive:
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}
        pairs = data["format"] == "npz_pairs"
        key = next(key for key in (data["columns"].get("x"), "x", "xa", "train_images") if key in names)
        samples, *size = _array(archive, names[key])[1]
        labels = next((key for key in (data["columns"].get("y"), "y", "train_labels") if key in names), None)
        classes = len(set(_items(archive, names[labels]))) if labels else 0
    channels = size[2] if len(size) == 3 else 1
    height, width = size[0], size[1] // (2 if pairs and key == "x" else 1)
    return samples, classes, (2 if pairs else 1, *_stored(data, (height, width)), channels)


def _array(archive: zipfile.ZipFile, name: str) -> tuple[str, tuple[int, ...]]:
    """(type, shape) by an array's header."""
    with archive.open(name) as stream:
        return _header(stream)


def _header(stream) -> tuple[str, tuple[int, ...]]:
    start = stream.read(8)
    length = struct.unpack("<H", stream.read(2))[0] if start[6] == 1 else struct.unpack("<I", stream.read(4))[0]
    header = ast.literal_eval(stream.read(length).decode("latin1"))
    return header["descr"], header["shape"]


def _items(archive: zipfile.ZipFile, name: str) -> list[bytes]:
    """The bytes of each item of a one-dimensional array."""
    with archive.open(name) as stream:
        _, shape = _header(stream)
        content = stream.read()
    width = len(content) // max(1, shape[0])
    return [content[i * width : (i + 1) * width] for i in range(shape[0])]


def _image_size(path: Path) -> tuple[int, int] | None:
    """(height, width) by the header of a PNG or JPEG file; None for others."""
    with open(path, "rb") as stream:
        start = stream.read(24)
        if start.startswith(b"\x89PNG"):
            width, height = struct.unpack(">II", start[16:24])
            return height, width
        if not start.startswith(b"\xff\xd8"):
            return None
        stream.seek(2)
        while (marker := stream.read(4)) and len(marker) == 4 and marker[0] == 0xFF:
            kind, length = marker[1], struct.unpack(">H", marker[2:])[0]
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
                _, height, width = struct.unpack(">BHH", stream.read(5))
                return height, width
            stream.seek(length - 2, 1)
    return None
