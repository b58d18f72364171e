"""`csv`: a table of image files with `path`, `label` and optional `group`, `split`, `caption`, `fold`."""

import os
from pathlib import Path

import pandas as pd

from foldstack import text_table
from foldstack.data.formats.source import SPLITS, Source, check_id, is_image, require, table
from foldstack.data.intake import Intake
from foldstack.data.labels import same_text
from foldstack.errors import FoldstackError


def read(
    path: Path,
    test_path: Path | None = None,
    *,
    given: dict | None = None,
    images: Path | None = None,
    suffix: str | None = None,
) -> Source:
    """Samples of a table.

    Args:
        path: with a header; its delimiter and encoding are detected. `split` holds train, val (joins train) or test;
            empty cells of `group`, `caption` and `fold` are null.
        test_path: a second such file, all of whose rows are the test split; its ids get the prefix `test/`.
        given: `data.columns`: our names -> the table's; for `label` a list of names, one column a class.
        images: the folder where image paths begin; by default the table's own.
        suffix: appended to every path that does not end in it.

    Raises:
        FoldstackError: naming the file and the row (1 is the first below the header).
    """
    intake = Intake("rows")
    frame, files = _read(path, "data", ["path", "label"], given or {}, images, suffix, intake)
    frame["split"] = _splits(frame, path) if "split" in frame else "train"
    test_given = "split" in frame and (frame["split"] == "test").any()
    if test_path is not None:
        if test_given:
            raise FoldstackError(f"{path} marks rows as test and data.test_path is set too; remove one of them.")
        without_split = (given or {}) | {"split": None}
        test, more = _read(
            test_path, "data", ["path", "label"], without_split, images, suffix, intake, "data.test_path"
        )
        files += more
        test = test.assign(split="test", **{name: "test/" + test[name] for name in ("path", "source")})
        frame = pd.concat([frame, test], ignore_index=True)
        test_given = True
    _look_beside(files, intake)
    rows = table(
        sample_id=frame["path"],
        label=frame["label"],
        source=frame["source"],
        **{name: frame[name] for name in text_table.OPTIONAL if name in frame},
    )
    return Source("images", rows, files, bool(test_given), intake)


def read_paths(
    path: Path, *, given: dict | None = None, images: Path | None = None, suffix: str | None = None
) -> tuple[list[str], list[Path], Intake]:
    """(ids, files, account) of a table with a column `path`, for prediction."""
    intake = Intake("rows")
    frame, files = _read(path, "predict", ["path"], given or {}, images, suffix, intake)
    _look_beside(files, intake)
    return frame["path"].tolist(), files, intake


def _read(
    path: Path, section: str, required: list[str], given: dict, images: Path | None, suffix: str | None,
    intake: Intake, key: str | None = None,
) -> tuple[pd.DataFrame, list[Path]]:  # fmt: skip
    """(the known columns as text with empty cells null, the image of each row); ids and folds are checked."""
    require(path, "file", key or f"{section}.path")
    found, names = text_table.open_table(path, section, given, required)
    if not found.rows:
        raise FoldstackError(f"{path} holds a header and no row; add the samples.")
    intake.columns, intake.unused = names.used, names.unused
    frame = _cells(found, names.used, required, path)
    ids, files = _files(frame["path"], path, images or path.parent, suffix)
    _describe(found, frame["path"].tolist(), ids, path, intake)
    frame["path"] = ids
    frame["source"] = [text_table.with_suffix(name, suffix) for name in ids]
    if "fold" in frame:
        frame["fold"] = [_fold(text, f"{path}, row {i}") for i, text in enumerate(frame["fold"], 1)]
    return frame, files


def _cells(found: text_table.TextTable, used: dict, required: list[str], path: Path) -> pd.DataFrame:
    """The columns that are used, by our names; empty cells null."""
    place = {name: i for i, name in enumerate(found.header)}
    frame = pd.DataFrame(index=range(len(found.rows)))
    for ours, name in used.items():
        if isinstance(name, list):
            texts = _one_hot(found.rows, name, place, path)
        else:
            texts = [row[place[name]] for row in found.rows]
        cells = same_text(texts) if ours in ("group", "split", "fold") else texts
        cells = [cell if cell and cell.strip() else None for cell in cells]
        if ours in required and None in cells:
            later = "; to label images that have no label, use predict.path" if ours == "label" else ""
            raise FoldstackError(
                f"{path}, row {cells.index(None) + 1}: {ours!r} is empty; fill it in or remove the row{later}."
            )
        frame[ours] = pd.Series(cells, dtype=object)
    return frame


def _files(cells: pd.Series, path: Path, folder: Path, suffix: str | None) -> tuple[list[str], list[Path]]:
    ids, files = [], []
    for number, cell in enumerate(cells, 1):
        name, file = text_table.find_file(folder, cell, suffix)
        ids.append(check_id(name, f"{path}, row {number}"))
        files.append(file)
    return ids, files


def _one_hot(rows: list[list[str]], names: list[str], place: dict[str, int], path: Path) -> list[str]:
    """The class of each row: the one column of `names` that holds 1."""
    labels = []
    for number, row in enumerate(rows, 1):
        ones = []
        for name in names:
            cell = row[place[name]].strip()
            try:
                value = float(cell or 0)
            except ValueError:
                value = -1.0
            if value not in (0.0, 1.0):
                raise FoldstackError(f"{path}, row {number}: {name!r} holds {cell!r}, neither 0 nor 1; correct it.")
            ones += [name] if value else []
        if len(ones) != 1:
            what = f"{len(ones)} of the columns {names[:10]} hold 1"
            raise FoldstackError(f"{path}, row {number}: {what}; one class a sample is needed.")
        labels += ones
    return labels


def _describe(found: text_table.TextTable, cells: list[str], ids: list[str], path: Path, intake: Intake) -> None:
    """Record in `intake` what was detected in the table."""
    if found.delimiter != "comma" or found.encoding != "utf-8":
        intake.facts.append(f"{path.name}: {found.delimiter}, {found.encoding}.")
    slashed = sum("\\" in cell and "\\" not in name for cell, name in zip(cells, ids, strict=True))
    if slashed:
        intake.facts.append(f"{path.name}: in {slashed} paths \\ was read as /.")


def _look_beside(files: list[Path], intake: Intake) -> None:
    """Record in `intake` images in the same folders that no row lists."""
    listed = {os.path.abspath(file) for file in files}
    beside = [
        entry.path
        for folder in sorted({os.path.dirname(file) for file in listed})
        if os.path.isdir(folder)
        for entry in os.scandir(folder)
        if not entry.name.startswith(".") and is_image(Path(entry.name)) and entry.path not in listed
    ]
    if beside:
        first = min(os.path.basename(name) for name in beside)
        intake.notes.append(f"{len(beside)} images in the same folders are listed in no row ({first}).")


def _fold(text: str | None, where: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise FoldstackError(f"{where}: fold {text!r} is not a whole number from 0 up; correct it.")
    return int(text)


def _splits(frame: pd.DataFrame, path: Path) -> pd.Series:
    unknown = ~frame["split"].isin(list(SPLITS))
    if unknown.any():
        row = int(unknown.argmax())
        raise FoldstackError(
            f"{path}, row {row + 1}: split {frame['split'][row]!r} is none of train, val, test; correct it."
        )
    return frame["split"].map(SPLITS)
