"""Turn any source into data/samples.parquet, pixels.npy, dataset.json, duplicates.parquet and quarantine.csv."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack.data import duplicates
from foldstack.data.decode import Geometry
from foldstack.data.digest import data_digest
from foldstack.data.formats import csv_table, digits, imagefolder, npz
from foldstack.data.formats.source import Source
from foldstack.data.pixels import content_hash, open_pixels
from foldstack.data.store import decoded, encoded, geometry, keeps_encoded, write_encoded, write_pixels
from foldstack.data.testsplit import check_given, cut
from foldstack.errors import FoldstackError
from foldstack.files import atomic, write_json
from foldstack.tables import write_duplicates, write_samples

QUARANTINE = ["source", "reason"]


def prepare(config: dict, *, samples, pixels, dataset, quarantine, pairs, threads: int = 1) -> dict:
    """Read, decode, check and write a data set; returns what dataset.json holds.

    Args:
        config: the slice `data`.
        samples, pixels, dataset, quarantine, pairs: paths of the five files (`pairs` is duplicates.parquet).
            Equal input gives equal bytes.
        threads: decoding threads; they do not change the result.

    Raises:
        FoldstackError: for data that cannot be used; names the file, key or row and the remedy.
    """
    source = read_source(config)
    rows, items = _sorted(source)
    classes = class_order(rows)
    wanted = geometry(items, **{key: config[key] for key in ("image_size", "channels", "fit")}, threads=threads)
    with atomic(pixels) as temporary:
        shape = (wanted.height, wanted.width, wanted.channels)
        shape = (2, *shape) if source.task == "pairs" else shape
        if keeps_encoded(config["store"], config["store_share"], items, shape, temporary.parent):
            kept, hashes, reasons = write_encoded(encoded(items, wanted, threads), temporary, wanted)
        else:
            kept, hashes, reasons = write_pixels(decoded(items, wanted, threads), temporary, shape)
        left_out = _quarantine(source, rows, reasons, config["max_quarantined"])
        frame = _samples(rows, kept, hashes, classes)
        _check_splits(frame, classes, source.test_given)
        near = duplicates.find_near(frame, open_pixels(temporary, threads), config["near_duplicates"])
        if source.test_given:
            check_given(frame)
        else:
            linked = duplicates.linked(frame, near)
            frame["split"] = cut(frame, classes, config["test_fraction"], config["seed"], linked)
        frame["fold"] = frame["fold"].where(frame["split"] == "train")
        found = duplicates.table(frame, near)
        summary = _summary(frame, classes, source.task, wanted, len(left_out), duplicates.counts(frame, found))
        write_samples(frame, samples)
        write_duplicates(found, pairs)
        write_quarantine(left_out, quarantine)
    write_json(dataset, summary)
    return summary


def read_source(config: dict) -> Source:
    """The samples of the config's slice `data`, not decoded yet."""
    name, path, test_path = config["format"], config["path"], config["test_path"]
    if name == "digits":
        return digits.read_digits()
    if name == "digits_pairs":
        return digits.read_pairs(config["seed"])
    paths = Path(path), Path(test_path) if test_path else None
    if name in ("npz", "npz_pairs"):
        return npz.read(*paths, task="pairs" if name == "npz_pairs" else "images")
    return {"imagefolder": imagefolder, "csv": csv_table}[name].read(*paths)


def class_order(rows: pd.DataFrame) -> list[str]:
    """Class names of the training samples: by number where all are whole numbers, else by text."""
    names = sorted(set(rows.loc[rows["split"] == "train", "label"]))
    if all(re.fullmatch(r"-?[0-9]+", name) for name in names):
        names.sort(key=lambda name: (int(name), name))
    if len(names) < 2:
        raise FoldstackError(
            f"data.path gives {len(names)} classes in its training samples ({names}); at least 2 are needed."
        )
    unknown = rows[~rows["label"].isin(names)]
    if len(unknown):
        raise FoldstackError(
            f"Test sample {unknown['sample_id'].iloc[0]!r} has the label {unknown['label'].iloc[0]!r}, which no "
            "training sample has; correct the label or add training samples."
        )
    return names


def write_quarantine(left_out: pd.DataFrame, path) -> None:
    """Write the columns `source` and `reason` as CSV."""
    with atomic(path) as temporary:
        left_out.to_csv(temporary, index=False, lineterminator="\n")


def _sorted(source: Source) -> tuple[pd.DataFrame, list]:
    """Rows and items by sample id; raises FoldstackError where an id occurs twice or there is no sample."""
    rows = source.rows
    if rows.empty:
        raise FoldstackError("data.path holds no sample; check the path and data.format.")
    repeated = rows["sample_id"].duplicated()
    if repeated.any():
        name = rows.loc[repeated, "sample_id"].iloc[0]
        first, second = rows.loc[rows["sample_id"] == name, "source"].iloc[:2]
        raise FoldstackError(
            f"Sample id {name!r} occurs more than once in the data ({first} and {second}); make ids unique."
        )
    if source.task == "pairs" and rows["label"].nunique() > 2:
        raise FoldstackError(
            f"Pairs need two classes, but key 'y' has {rows['label'].nunique()}; store a yes/no label."
        )
    order = np.argsort(rows["sample_id"].to_numpy(dtype=object), kind="stable")
    return rows.iloc[order].reset_index(drop=True), [source.items[i] for i in order]


def _quarantine(source: Source, rows: pd.DataFrame, reasons: dict[int, str], limit: float) -> pd.DataFrame:
    pairs = sorted([*source.refused, *((rows["source"][i], reason) for i, reason in reasons.items())])
    total = len(rows) + len(source.refused)
    if len(pairs) > limit * total or len(pairs) == total:
        where, reason = pairs[0]
        raise FoldstackError(
            f"{len(pairs)} of {total} samples cannot be used, more than data.max_quarantined ({limit:g}) allows; "
            f"the first is {where!r}: {reason}; repair or remove them, or raise data.max_quarantined."
        )
    return pd.DataFrame(pairs, columns=QUARANTINE)


def _samples(rows: pd.DataFrame, kept: list[int], hashes: list[list[str]], classes: list[str]) -> pd.DataFrame:
    """The samples table of what was decoded; `row` is the row in pixels.npy."""
    frame = rows.iloc[kept].reset_index(drop=True)
    numbers = {name: i for i, name in enumerate(classes)}
    frame["label"] = frame["label"].map(numbers).astype(np.int64)
    frame["fold"] = frame["fold"].astype("Int64")
    frame["hash"] = [views[0] if len(views) == 1 else content_hash_of(views) for views in hashes]
    frame["view_hashes"] = hashes
    frame["row"] = np.arange(len(frame))
    return frame


def content_hash_of(views: list[str]) -> str:
    """One hash for a sample of several views, in their order."""
    return content_hash(np.frombuffer("".join(views).encode(), np.uint8))


def _check_splits(frame: pd.DataFrame, classes: list[str], test_given: bool) -> None:
    """What is left after quarantine: each class for training, and something to test on where the data says what."""
    left = set(frame.loc[frame["split"] == "train", "label"])
    missing = [name for i, name in enumerate(classes) if i not in left]
    if missing:
        raise FoldstackError(
            f"Class {missing[0]!r} has no readable training sample left; add samples or remove the class."
        )
    if test_given and not (frame["split"] == "test").any():
        raise FoldstackError("No sample of the given test split can be read; repair it or leave it out.")


def _summary(
    frame: pd.DataFrame, classes: list[str], task: str, wanted: Geometry, quarantined: int, repeated: dict
) -> dict:
    counts = {
        split: {name: int(((frame["split"] == split) & (frame["label"] == i)).sum()) for i, name in enumerate(classes)}
        for split in ("train", "test")
    }
    described = {
        "task": task,
        "classes": classes,
        "image_size": [wanted.height, wanted.width],
        "channels": wanted.channels,
        "fit": wanted.fit,
    }
    whole = {**described, "counts": counts, **repeated, "quarantined": quarantined}
    return whole | {"digest": data_digest(frame, described)}
