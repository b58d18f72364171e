"""New data without labels, for prediction: the formats of the training data, decoded to the model's geometry."""

from pathlib import Path

import numpy as np
import pandas as pd

from foldstack.data.decode import Geometry, Seen
from foldstack.data.formats import csv_table, npz
from foldstack.data.formats.source import refusal, require, storable, walk
from foldstack.data.intake import Intake, files_account, files_line, look_at, looks_line
from foldstack.data.store import decoded
from foldstack.errors import FoldstackError
from foldstack.text_table import nearby


def read_unlabelled(
    predict: dict, *, image_size: list[int], channels: int, fit: str, task: str, reading: dict, threads: int = 1
) -> tuple[list[str], np.ndarray, pd.DataFrame, dict]:
    """Read and decode new data.

    Args:
        predict: the config's slice: `format` is `imagefolder` (all images below a folder, however nested), `csv`
            (column `path`), `npz` or `npz_pairs` (`x`, or `xa` and `xb`; `id` optional).
        image_size, channels, fit, task, reading: as in dataset.json.

    Returns:
        (ids, pixels, quarantined, account): ids sorted; uint8 (N, H, W, C) or (N, 2, H, W, C) in their order; columns
        `source` and `reason` of what could not be read; what was found, taken, passed over and left out.

    Raises:
        FoldstackError: missing path, no sample, repeated ids, a format of the other task, nothing readable.
    """
    form, path, given = predict["format"], Path(predict["path"]), predict["columns"]
    if (form == "npz_pairs") != (task == "pairs"):
        raise FoldstackError(
            f"predict.format {form!r} does not fit a model of {task}; choose the format of the training data."
        )
    items: list[Path] | list[np.ndarray]
    if form == "imagefolder":
        ids, items, met = _of_folder(require(path, "folder", "predict.path"))
    elif form == "csv":
        images = Path(predict["images"]) if predict["images"] else None
        ids, items, met = csv_table.read_paths(path, given=given, images=images, suffix=predict["suffix"])
    else:
        ids, items, met = npz.read_views(path, task=task, given=given)
    _check(ids, met, path)
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    wanted = Geometry(image_size[0], image_size[1], channels, fit, **reading)
    seen: dict[int, Seen] = {}
    views = list(decoded([items[i] for i in order], wanted, threads, seen))
    good = [(ids[i], view) for i, view in zip(order, views, strict=True) if not isinstance(view, str)]
    bad = [(ids[i], view) for i, view in zip(order, views, strict=True) if isinstance(view, str)]
    quarantined = pd.DataFrame(sorted(met.refused + bad), columns=["source", "reason"])
    if not good:
        where, reason = quarantined.iloc[0]
        missing = next((item for item in items if isinstance(item, Path) and not item.exists()), None)
        near = nearby(missing, "predict") if missing is not None else ""
        hint = f"; {near}" if near else ""
        raise FoldstackError(f"predict.path: nothing in {path} can be read; the first is {where!r}: {reason}{hint}.")
    met.notes += look_at(seen, [ids[i] for i in order], wanted.pages, wanted.bits)
    pixels = np.stack([view if task == "pairs" else view[0] for _, view in good])
    taken = [name for name, _ in good]
    return taken, pixels, quarantined, _account(met, taken, quarantined)


def _of_folder(path: Path) -> tuple[list[str], list[Path], Intake]:
    met = Intake()
    names = {file.relative_to(path).as_posix(): file for file in walk(path, met)}
    met.refused += [refusal(name) for name in names if not storable(name)]
    ids = [name for name in names if storable(name)]
    return ids, [names[name] for name in ids], met


def _account(met: Intake, taken: list[str], quarantined: pd.DataFrame) -> dict:
    found = files_account(met, taken, list(quarantined.itertuples(index=False, name=None)))
    return found | {"lines": [" ".join(line.split()) for line in (files_line(found, "New data"), looks_line(found))]}


def _check(ids: list[str], met: Intake, path: Path) -> None:
    if not ids and not met.refused:
        raise FoldstackError(f"predict.path: {path} holds no image; check predict.path and predict.format.")
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise FoldstackError(f"{path}: sample id {name!r} occurs more than once; make ids unique.")
        seen.add(name)
