"""`csv`: a table of image files with `path`, `label` and optional `group`, `split`, `caption`, `fold`."""

import warnings
from pathlib import Path

import pandas as pd

from foldstack.data.formats.source import Source, check_id, require, table
from foldstack.errors import FoldstackError

OPTIONAL = ("group", "split", "caption", "fold")
SPLITS = {"train": "train", "val": "train", "test": "test"}


def read(path: Path, test_path: Path | None = None) -> Source:
    """Samples of a CSV file; image paths are relative to its folder.

    Args:
        path: UTF-8, with a header. `split` holds train, val (joins train) or test; empty cells of `group`,
            `caption` and `fold` are null.
        test_path: a second such file, all of whose rows are the test split; its ids get the prefix `test/`.

    Raises:
        FoldstackError: naming the file and the row (1 is the first below the header).
    """
    frame = _read(path, "data.path", ["path", "label"])
    frame["split"] = _splits(frame, path) if "split" in frame else "train"
    files = [path.parent / name for name in frame["path"]]
    test_given = "split" in frame and (frame["split"] == "test").any()
    if test_path is not None:
        if test_given:
            raise FoldstackError(f"{path} marks rows as test and data.test_path is set too; remove one of them.")
        test = _read(test_path, "data.test_path", ["path", "label"])
        files += [test_path.parent / name for name in test["path"]]
        frame = pd.concat([frame, test.assign(path="test/" + test["path"], split="test")], ignore_index=True)
        test_given = True
    rows = table(
        sample_id=frame["path"],
        label=frame["label"],
        source=frame["path"],
        **{name: frame[name] for name in OPTIONAL if name in frame},
    )
    return Source("images", rows, files, bool(test_given))


def read_paths(path: Path) -> tuple[list[str], list[Path]]:
    """(ids, files) of a CSV file with a column `path`, for prediction."""
    names = _read(path, "predict.path", ["path"])["path"].tolist()
    return names, [path.parent / name for name in names]


def _read(path: Path, key: str, required: list[str]) -> pd.DataFrame:
    """The known columns as text, empty cells null; ids and folds are checked."""
    require(path, "file", key)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would be cut
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except (
        ValueError,
        OSError,
        pd.errors.ParserWarning,
    ) as error:  # pandas's parser errors and UnicodeDecodeError are ValueErrors
        words = " ".join(str(error).split())  # pandas ends some messages with a newline
        raise FoldstackError(f"{path} is not a CSV file in UTF-8 with a header ({words}); correct it.") from error
    for name in required:
        if name not in frame:
            raise FoldstackError(f"{path} has no column {name!r}, only {list(frame.columns)}; add it.")
    frame = frame[[name for name in (*required, *OPTIONAL) if name in frame]].astype(object)
    for name in frame:
        empty = frame[name].isna() | (frame[name] == "")
        if name in required and empty.any():
            raise FoldstackError(
                f"{path}, row {int(empty.argmax()) + 1}: {name!r} is empty; fill it in or remove the row."
            )
        frame.loc[empty, name] = None
    frame["path"] = [check_id(name, f"{path}, row {i}") for i, name in enumerate(frame["path"], 1)]
    if "fold" in frame:
        frame["fold"] = [_fold(text, f"{path}, row {i}") for i, text in enumerate(frame["fold"], 1)]
    return frame


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
