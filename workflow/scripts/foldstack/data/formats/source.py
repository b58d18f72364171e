"""What every format is read into, before anything is decoded: rows of text, and where each row's pixels are."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from foldstack.data import unread
from foldstack.data.decode import SUFFIXES
from foldstack.data.intake import Intake
from foldstack.errors import FoldstackError

SPLITS = {"train": "train", "val": "train", "test": "test"}  # as people divide their data -> as Foldstack does
LEFT_BY_PROGRAMS = {  # thumbnails of a NAS, recycle bins, leftovers of unpacking and disk checks
    *("@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler"),
    *("__macosx", "lost+found", "system volume information"),
}
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
        intake: the account of what was found; `intake.refused` holds what cannot even become a row.
    """

    task: str
    rows: pd.DataFrame
    items: list[Path] | list[np.ndarray]
    test_given: bool
    intake: Intake = field(default_factory=Intake)


def table(**columns) -> pd.DataFrame:
    """Rows with the columns ROWS; those not given are null."""
    unknown = set(columns) - set(ROWS)
    if unknown:
        raise ValueError(f"unknown columns {sorted(unknown)}")
    return pd.DataFrame(columns, columns=ROWS, dtype=object)


def check_id(sample_id: str, where: str) -> str:
    """A sample id as stored: a relative POSIX path without `..`; raises FoldstackError naming `where`."""
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


def walk(folder: Path, intake: Intake | None = None, root: Path | None = None) -> Iterator[Path]:
    """All image files below a folder, in the order of their names; every other file is recorded in `intake`.

    Hidden files and folders, leftovers of programs, and files without an image's suffix are left out. Links are
    followed, except to a folder that contains the link.

    Args:
        root: names in `intake` are relative to it; by default `folder`.
    """
    intake, root = Intake() if intake is None else intake, root or folder

    def below(directory: Path, ancestors: frozenset) -> Iterator[Path]:
        real = os.path.realpath(directory)
        if real in ancestors:
            return
        for name, is_folder in listed(directory):
            entry = directory / name
            if not_data(name):
                pass_over_entry(entry, intake, root)
            elif is_folder:
                yield from below(entry, ancestors | {real})
            elif is_image(entry):
                yield entry
            else:
                pass_over_file(entry, intake, root)

    yield from below(folder, frozenset())


def not_data(name: str) -> str:
    """Why a file or folder of this name is not data; "" where it may be."""
    if name.startswith("."):
        return "hidden"
    return "left by a program" if name.casefold() in LEFT_BY_PROGRAMS else ""


def pass_over_entry(entry: Path, intake: Intake, root: Path) -> None:
    """Record in `intake` a file that is not data, or all files in such a folder."""
    why = not_data(entry.name)
    reason = why if why == "hidden" else f"in {entry.name}/, {why}"
    names = [entry]
    if entry.is_dir() and not entry.is_symlink():
        names = [Path(folder) / name for folder, _, files in os.walk(entry) for name in files]
        reason = f"in {entry.name}/, {why}"
    intake.pass_over((shown(name, root) for name in names), reason)


def pass_over_file(file: Path, intake: Intake, root: Path) -> None:
    """Record in `intake` a file without an image's suffix: as refused where it looks like an image."""
    reason = unread.reason(file)
    if reason is not None:
        intake.refused.append((shown(file, root), reason))
    else:
        intake.pass_over([shown(file, root)], f"not an image ({file.suffix.lower() or 'no suffix'})")


def shown(file: Path, root: Path) -> str:
    """A file's path below `root` as text that can be stored."""
    name = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
    return name.encode("utf-8", "backslashreplace").decode()


def listed(folder: Path) -> list[tuple[str, bool]]:
    """Names in a folder, sorted, and whether each is a folder; links are followed. Asks no file about itself."""
    with os.scandir(folder) as entries:
        return sorted((each.name, Path(each).is_dir() if each.is_symlink() else each.is_dir()) for each in entries)


def visible(folder: Path) -> list[Path]:
    """Entries of a folder that may be data, by name."""
    return [folder / name for name, _ in listed(folder) if not not_data(name)]


def subfolders(folder: Path) -> list[Path]:
    return [folder / name for name, is_folder in listed(folder) if is_folder and not not_data(name)]


def storable(name: str) -> bool:
    """Whether a file's name is text (it may be bytes that are not UTF-8)."""
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
