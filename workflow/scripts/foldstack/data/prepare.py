"""Turn any source into data/samples.parquet, pixels.npy, dataset.json, duplicates.parquet and two accounts of it.

quarantine.csv lists what was left out, intake.json counts everything that was found.
"""

import contextlib
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack.data import duplicates
from foldstack.data.decode import Geometry, Seen
from foldstack.data.digest import data_digest
from foldstack.data.formats import csv_table, digits, imagefolder, npz
from foldstack.data.formats.source import Source
from foldstack.data.intake import Intake, account, by_reason, lines, look_at
from foldstack.data.labels import read_labels
from foldstack.data.pixels import content_hash, open_pixels
from foldstack.data.store import geometry, keeps_encoded, read_samples, write_encoded, write_pixels
from foldstack.data.testsplit import check_given, cut
from foldstack.errors import FoldstackError
from foldstack.files import atomic, write_csv, write_json
from foldstack.tables import write_duplicates, write_samples
from foldstack.text_table import nearby

QUARANTINE = ["source", "reason"]


def prepare(config: dict, *, samples, pixels, dataset, quarantine, pairs, intake, threads: int = 1) -> dict:
    """Read, decode, check and write a data set; returns what dataset.json holds.

    Args:
        config: the slice `data`.
        samples, pixels, dataset, quarantine, pairs, intake: paths of the six files (`pairs` is duplicates.parquet).
            Equal input gives equal bytes.
        threads: decoding threads; they do not change the result.

    Raises:
        FoldstackError: for data that cannot be used; names the file, key or row and the remedy.
    """
    source = read_source(config)
    met = source.intake
    rows, items = _sorted(source)
    rows["label"], facts = read_labels(rows, config["labels"])
    met.facts += facts
    classes = class_order(rows)
    if source.task == "pairs" and len(classes) > 2:
        raise FoldstackError(f"Pairs need two classes, but key 'y' has {len(classes)}; store a yes/no label.")
    keys = ("image_size", "channels", "bits", "pages")
    wanted = geometry(items, fit=config["fit"], **{key: config[key] for key in keys}, threads=threads)
    seen: dict[int, Seen] = {}
    with atomic(pixels) as temporary:
        image = (wanted.height, wanted.width, wanted.channels)
        shape = (2, *image) if source.task == "pairs" else image
        keep_bytes = keeps_encoded(config["store"], config["store_share"], items, shape, temporary.parent)
        describe = config["near_duplicates"] > 0
        read = read_samples(items, wanted, keep_bytes=keep_bytes, describe=describe, threads=threads, seen=seen)
        kept = write_encoded(read, temporary, wanted) if keep_bytes else write_pixels(read, temporary, shape)
        left_out = _quarantine(source, rows, _explained(kept.reasons, items), config["max_quarantined"])
        notes = look_at(seen, rows["source"].tolist(), config["pages"], config["bits"])
        met.notes += notes
        _check_pages(seen, rows, config)
        frame = _samples(rows, kept.positions, kept.hashes, classes)
        _check_splits(frame, classes, source.test_given)
        with _said_with(notes):
            stored = open_pixels(temporary, threads)
            near = duplicates.find_near(frame, stored, kept.low, config["near_duplicates"], threads)
            if source.test_given:
                check_given(frame)
            else:
                linked = duplicates.linked(frame, near)
                frame["split"] = cut(frame, classes, config["test_fraction"], config["seed"], linked)
        frame["fold"] = frame["fold"].where(frame["split"] == "train")
        found = duplicates.table(frame, near)
        repeated = duplicates.counts(frame, found) | {"two_labels": duplicates.two_labels(frame, found, source.task)}
        summary = _summary(frame, classes, source.task, wanted, len(left_out), repeated)
        write_samples(frame, samples)
        write_duplicates(found, pairs)
        write_csv(quarantine, left_out)
    split_from = "cut off here" if config["test_fraction"] else "left out (data.test_fraction: 0)"
    split_from = "marked in the data" if source.test_given else split_from
    accounted = _account(met, frame, left_out, summary, split_from)
    print(*accounted["lines"], sep="\n")
    write_json(intake, accounted)
    write_json(dataset, summary)
    return summary


def read_source(config: dict) -> Source:
    """The samples of the config's slice `data`, not decoded yet."""
    name, given = config["format"], config["columns"]
    if name == "digits":
        return digits.read_digits()
    if name == "digits_pairs":
        return digits.read_pairs(config["seed"])
    path = Path(config["path"])
    test_path, images = (Path(config[key]) if config[key] else None for key in ("test_path", "images"))
    if name in ("npz", "npz_pairs"):
        return npz.read(path, test_path, task="pairs" if name == "npz_pairs" else "images", given=given)
    if name == "imagefolder":
        return imagefolder.read(path, test_path, named=config["labels"])
    return csv_table.read(path, test_path, given=given, images=images, suffix=config["suffix"])


def class_order(rows: pd.DataFrame) -> list[str]:
    """Class names of the training samples: by number where all are whole numbers, else by text."""
    names = sorted(set(rows.loc[rows["split"] == "train", "label"]))
    if all(re.fullmatch(r"-?[0-9]+", name) for name in names):
        names.sort(key=lambda name: (int(name), name))
    if len(names) < 2:
        raise FoldstackError(
            f"data.path gives {len(names)} class{'' if len(names) == 1 else 'es'} in its training samples ({names}); "
            "at least 2 are needed."
        )
    unknown = rows[~rows["label"].isin(names)]
    if len(unknown):
        raise FoldstackError(
            f"Test sample {unknown['sample_id'].iloc[0]!r} has the label {unknown['label'].iloc[0]!r}, which no "
            "training sample has; correct the label or add training samples. To label images that have no label, use "
            "predict.path."
        )
    return names


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
    order = np.argsort(rows["sample_id"].to_numpy(dtype=object), kind="stable")
    return rows.iloc[order].reset_index(drop=True), [source.items[i] for i in order]


def _explained(reasons: dict[int, str], items: list) -> dict[int, str]:
    """The reasons; that of the first missing file also names a similar file nearby."""
    for position, reason in reasons.items():
        file = items[position]
        if isinstance(file, Path) and not os.path.lexists(file) and nearby(file, "data"):
            return reasons | {position: f"{reason}; {nearby(file, 'data')}"}
    return reasons


def _quarantine(source: Source, rows: pd.DataFrame, reasons: dict[int, str], limit: float) -> pd.DataFrame:
    refused = source.intake.refused
    pairs = sorted([*refused, *((rows["source"][i], reason) for i, reason in reasons.items())])
    total = len(rows) + len(refused)
    if len(pairs) > limit * total or len(pairs) == total:
        where, reason = pairs[0]
        others = [f"{row['count']} × {row['reason']}" for row in by_reason(pairs) if row["reason"] != reason][:3]
        more = f"; others: {'; '.join(others)}" if others else ""
        raise FoldstackError(
            f"{len(pairs)} of {total} samples cannot be used, more than data.max_quarantined ({limit:g}) allows; "
            f"the first is {where!r}: {reason}{more}; repair or remove them, or raise data.max_quarantined."
        )
    return pd.DataFrame(pairs, columns=QUARANTINE)


def _check_pages(seen: dict[int, Seen], rows: pd.DataFrame, config: dict) -> None:
    """Refuse many files of several pages unless the config says which pages to read."""
    stacks = sorted((rows["source"][position], held.pages) for position, held in seen.items() if held.pages > 1)
    if config["pages"] is None and len(stacks) > config["max_quarantined"] * len(rows):
        name, pages = stacks[0]
        raise FoldstackError(
            f"{len(stacks)} of {len(rows)} files hold several pages (the first is {name!r}: {pages}); set data.pages: "
            "first to read page 1 and no other, or data.pages: rgb to read pages 1 to 3 as channels."
        )


@contextlib.contextmanager
def _said_with(notes: list[str]):
    """Add the notes to an error: what is odd about the images may be why so many look equal."""
    try:
        yield
    except FoldstackError as error:
        raise FoldstackError(" ".join([str(error), *notes])) from error


def _account(met: Intake, frame: pd.DataFrame, left_out: pd.DataFrame, summary: dict, split_from: str) -> dict:
    """What data/intake.json holds."""
    twice = summary["two_labels"]
    if twice["identical"] or twice["near"]:
        met.notes.insert(
            0,
            f"Under two labels: identical images {twice['identical']}, pairs of nearly equal ones {twice['near']} "
            f"(first {twice['pairs'][0][0]} and {twice['pairs'][0][1]}).",
        )
    found = account(
        met,
        taken=frame["source"].tolist(),
        left_out=list(left_out.itertuples(index=False, name=None)),
        summary=summary,
        groups=frame["group"],
        split_from=split_from,
    )
    return found | {"lines": lines(found)}


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
    """After quarantine, each class still has a training sample, and a given test split is not empty."""
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
    counts = {}
    for split in ("train", "test"):
        labels = frame.loc[frame["split"] == split, "label"].to_numpy(np.int64)
        of_class = np.bincount(labels, minlength=len(classes)).tolist()
        counts[split] = dict(zip(classes, of_class, strict=True))
    described = {
        "task": task,
        "classes": classes,
        "image_size": [wanted.height, wanted.width],
        "channels": wanted.channels,
        "fit": wanted.fit,
    }
    usual = {"bits": Geometry.bits, "pages": Geometry.pages}
    described["reading"] = {key: getattr(wanted, key) for key in usual if getattr(wanted, key) != usual[key]}
    whole = {**described, "counts": counts, **repeated, "quarantined": quarantined}
    return whole | {"digest": data_digest(frame, described)}
