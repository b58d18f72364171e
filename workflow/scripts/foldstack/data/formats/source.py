"""What every format is read into, before anything is decoded: rows of text, and where each row's pixels are."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from foldstack.data.decode import SUFFIXES
from foldstack.errors import FoldstackError

ROWS = ["sample_id", "split", "label", "group", "fold", "caption", "source"]


@dataclass(frozen=True)
class Source:
    """One format's samples.

    Attributes:
        task: `images` or `pairs`.
        rows: N rows with the columns ROWS; `label` is the class's name, `split` is `train` or `test`; `group`, `fold`
            and `caption` may be null; `source` says where the sample came from.
        items: N image files, or decoded views: uint8 (V, H, W, C) with one view for images and two for pairs.
        test_given: whether the data marks its own test split.
        refused: (source, reason) of what cannot even become a row.
    """

    task: str
    rows: pd.DataFrame
    items: list[Path] | list[np.ndarray]
    test_given: bool
    refused: list[tuple[str, str]] = field(default_factory=list)


def table(**columns) -> pd.DataFrame:
    """Rows with the columns ROWS; those not given are null."""
    unknown = set(columns) - set(ROWS)
    if unknown:
        raise ValueError(f"unknown columns {sorted(unknown)}")
    return pd.DataFrame(columns, columns=ROWS, dtype=object)


def check_id(sample_id: str, where: str) -> str:
    """A sample id as it is stored: a relative POSIX path without tricks; raises FoldstackError naming `where`."""
    parts = sample_id.split("/")
    absolute = sample_id.startswith("/") or (
        len(sample_id) > 1 and sample_id[1] == ":" and sample_id[2:3] in ("/", "\\")
    )
    if not sample_id.strip() or absolute or ".." in parts or "\0" in sample_id:
        raise FoldstackError(
            f"{where}: {sample_id!r} is not a name below the data folder; use a relative path without '..'."
        )
    return str(PurePosixPath(sample_id))


def is_image(file: Path) -> bool:
    """Whether the file's suffix is that of an image format that is read."""
    return file.suffix.lower() in SUFFIXES


def walk(folder: Path) -> Iterator[Path]:
    """All image files below a folder, in the order of their names.

    Hidden files and folders and files without an image's suffix are left out. Links are followed, except to a folder
    that contains the link.
    """

    def below(directory: Path, ancestors: frozenset) -> Iterator[Path]:
        real = os.path.realpath(directory)
        if real in ancestors:
            return
        for entry in visible(directory):
            if entry.is_dir():
                yield from below(entry, ancestors | {real})
            elif is_image(entry):
                yield entry

    yield from below(folder, frozenset())


def visible(folder: Path) -> list[Path]:
    """What lies directly in a folder and is not hidden, by name."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def subfolders(folder: Path) -> list[Path]:
    return [entry for entry in visible(folder) if entry.is_dir()]


def storable(name: str) -> bool:
    """Whether a file's name is text (it may be bytes that are no UTF-8)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def refusal(name: str) -> tuple[str, str]:
    """(source, reason) of a file whose name is not storable."""
    return name.encode("utf-8", "backslashreplace").decode(), "the file's name is not valid UTF-8"


def require(path: Path, kind: str, key: str) -> Path:
    """The path, if it is an existing `file` or `folder`; else a FoldstackError that names the config's key."""
    if not path.exists():
        raise FoldstackError(f"{key}: {str(path)!r} does not exist; give an existing {kind}.")
    if (kind == "folder") != path.is_dir():
        raise FoldstackError(f"{key}: {str(path)!r} is not a {kind}; give a {kind} or choose another data.format.")
    return path
