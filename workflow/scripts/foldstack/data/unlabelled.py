"""New data without labels, for prediction: the formats of the training data, decoded to the model's geometry."""

from pathlib import Path

import numpy as np
import pandas as pd

from foldstack.data.decode import Geometry
from foldstack.data.formats import csv_table, npz
from foldstack.data.formats.source import refusal, require, storable, walk
from foldstack.data.store import decoded
from foldstack.errors import FoldstackError


def read_unlabelled(
    format: str, path, *, image_size: list[int], channels: int, fit: str, task: str, threads: int = 1
) -> tuple[list[str], np.ndarray, pd.DataFrame]:
    """Read and decode new data.

    Args:
        format: `imagefolder` (all images below a folder, however nested), `csv` (column `path`), `npz` or `npz_pairs`
            (`x`, or `xa` and `xb`; `id` optional).
        image_size, channels, fit, task: as in dataset.json.

    Returns:
        (ids, pixels, quarantined): ids sorted; uint8 (N, H, W, C) or (N, 2, H, W, C) in their order; columns `source`
        and `reason` of what could not be read.

    Raises:
        FoldstackError: missing path, no sample, repeated ids, a format of the other task, nothing readable.
    """
    path = Path(path)
    if (format == "npz_pairs") != (task == "pairs"):
        raise FoldstackError(
            f"predict.format {format!r} does not fit a model of {task}; choose the format of the training data."
        )
    refused: list[tuple[str, str]] = []
    if format == "imagefolder":
        names = {file.relative_to(require(path, "folder", "predict.path")).as_posix(): file for file in _files(path)}
        refused = [refusal(name) for name in names if not storable(name)]
        ids = [name for name in names if storable(name)]
        items = [names[name] for name in ids]
    elif format == "csv":
        ids, items = csv_table.read_paths(path)
    else:
        ids, items = npz.read_views(path, task=task)
    _check(ids, refused, path)
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    wanted = Geometry(*image_size, channels, fit)
    views = list(decoded([items[i] for i in order], wanted, threads))
    good = [(ids[i], view) for i, view in zip(order, views, strict=True) if not isinstance(view, str)]
    bad = [(ids[i], view) for i, view in zip(order, views, strict=True) if isinstance(view, str)]
    quarantined = pd.DataFrame(sorted(refused + bad), columns=["source", "reason"])
    if not good:
        where, reason = quarantined.iloc[0]
        raise FoldstackError(f"predict.path: nothing in {path} can be read; the first is {where!r}: {reason}.")
    pixels = np.stack([view if task == "pairs" else view[0] for _, view in good])
    return [name for name, _ in good], pixels, quarantined


def _files(path: Path):
    require(path, "folder", "predict.path")
    return walk(path)


def _check(ids: list[str], refused: list, path: Path) -> None:
    if not ids and not refused:
        raise FoldstackError(f"predict.path: {path} holds no image; check predict.path and predict.format.")
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise FoldstackError(f"{path}: sample id {name!r} occurs more than once; make ids unique.")
        seen.add(name)
