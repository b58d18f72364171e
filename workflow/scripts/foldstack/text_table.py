"""Text tables as people have them: commas, semicolons or tabs, UTF-8 or UTF-16; standard library only.

Used at parse time (which files are the data?) and by the data stage, so that both read a table the same way.
"""

import codecs
import csv
import io
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foldstack import columns
from foldstack.errors import FoldstackError

OPTIONAL = ("group", "split", "caption", "fold")
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class TextTable:
    """A table as it is written.

    Attributes:
        header: names, blanks stripped.
        rows: unchanged cells; each row has as many as the header. Empty lines are left out.
        encoding, delimiter: detected; `delimiter` as a word.
    """

    header: list[str]
    rows: list[list[str]]
    encoding: str
    delimiter: str


def read(path: Path, wanted: Sequence[str] = (), header_only: bool = False) -> TextTable:
    """Read a table with a header.

    Args:
        wanted: names that the header should hold: the delimiter that gives most of them, then most columns, is taken.

    Raises:
        FoldstackError: no text, no header, or a row longer than the header.
    """
    try:
        content = Path(path).read_bytes()
        if content.startswith(b"PK\x03\x04"):
            raise FoldstackError(f"{path} is a spreadsheet workbook; save it as CSV in UTF-8.")
        text, encoding = _text(content)
        # Spreadsheets write the delimiter into a first line `sep=;`.
        text = text.partition("\n")[2] if text[:4].casefold() == "sep=" and text[5:6] in "\r\n" else text
        delimiter = max(DELIMITERS, key=lambda each: _fit(text, each, wanted))
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(lines, [])]
        rows = [] if header_only else [row for row in lines if row]
    except (OSError, ValueError, csv.Error) as error:
        remedy = "save it in UTF-8" if isinstance(error, UnicodeError) else "correct it"
        raise FoldstackError(_not_read(path, str(error), remedy)) from error
    if not any(header):
        raise FoldstackError(_not_read(path, "it has no header"))
    for number, row in enumerate(rows, 1):
        if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
            raise FoldstackError(
                _not_read(path, f"row {number} has {len(row)} cells, the header {len(header)}", "put texts with the "
                          "delimiter in them into quotation marks")
            )  # fmt: skip
        rows[number - 1] = [*row[: len(header)], *[""] * (len(header) - len(row))]
    return TextTable(header, rows, encoding, DELIMITERS[delimiter])


def open_table(
    path: Path, section: str, given: dict, required: Sequence[str], header_only: bool = False
) -> tuple[TextTable, columns.Columns]:
    """Read a table of images and find our columns in it.

    Args:
        section: of the config, `data` or `predict`; given: its `columns`.
        required: our columns that must be there, of `path` and `label`.

    Raises:
        FoldstackError: as `read` and `columns.resolve`.
    """
    wanted: list[str] = []
    for ours in (*required, *OPTIONAL):
        name = given.get(ours, ours) or []
        wanted += [name] if isinstance(name, str) else name
    table = read(path, wanted, header_only)
    where, key = str(path), f"{section}.columns"
    found = columns.resolve(table.header, given, required=required, optional=OPTIONAL, where=where, key=key)
    return table, found


def find_file(folder: Path, cell: str, suffix: str | None) -> tuple[str, Path]:
    """(name, file) that a cell means: a path below `folder`, or an absolute one inside it.

    The first of these that exists: the cell unchanged, without blanks at its ends, with `/` for `\\`, in either Unicode
    form of accents. The name is that form, without an added `suffix`.
    """
    text = cell.strip()
    slashes = text.replace("\\", "/")
    forms = dict.fromkeys((cell, text, slashes, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))))
    files = {form: folder / with_suffix(form, suffix) for form in forms}
    name = next((form for form, file in files.items() if "\0" not in form and os.path.lexists(file)), slashes)
    file = files[name]
    if os.path.isabs(name) and os.path.normpath(name).startswith(os.path.abspath(folder) + os.sep):
        name = os.path.relpath(name, folder)
    return name, file


def with_suffix(name: str, suffix: str | None) -> str:
    return name if not suffix or name.lower().endswith(suffix.lower()) else name + suffix


def nearby(file: Path, key: str) -> str:
    """A hint for a missing file: a similar file nearby and the config key that would find it; "" for none."""
    parent = next((folder for folder in file.parents if folder.is_dir()), None)
    if parent is None or "\0" in str(file):
        return ""
    if parent != file.parent:
        missing = file.relative_to(parent).parts[0]
        return f"there is no folder {missing!r} in {parent}"
    names = sorted(os.listdir(parent))
    for name in names:
        if name != file.name and name.startswith(f"{file.name}."):
            return f"there is {name!r}: set {key}.suffix: {name[len(file.name) :]}"
        if name != file.name and (name.casefold() == file.name.casefold() or Path(name).stem == file.stem != ""):
            return f"there is {name!r}"
    for name in names:
        inside = parent / name
        if not name.startswith(".") and inside.is_dir():
            if os.path.lexists(inside / file.name):
                return f"there is {name}/{file.name}: set {key}.images: {inside}"
            longer = next((other for other in sorted(os.listdir(inside)) if other.startswith(f"{file.name}.")), None)
            if longer:
                return (
                    f"there is {name}/{longer}: set {key}.images: {inside} and {key}.suffix: {longer[len(file.name) :]}"
                )
    return ""


def _text(content: bytes) -> tuple[str, str]:
    """(text, encoding); raises ValueError."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding), encoding.removesuffix("-sig")
    for half, encoding in ((content[1:200:2], "utf-16-le"), (content[:200:2], "utf-16-be")):
        if half.count(0) > 0.4 * len(half) > 0:  # UTF-16 without its mark
            return content.decode(encoding), encoding
    return content.decode("utf-8"), "utf-8"


def _fit(text: str, delimiter: str, wanted: Sequence[str]) -> tuple[int, int]:
    try:
        header = next(csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=delimiter), [])
    except csv.Error:
        return 0, 0
    names = {name.strip() for name in header}
    return sum(name in names for name in wanted), len(header)


def _not_read(path, reason: str, remedy: str = "correct it") -> str:
    words = " ".join(reason.split())
    return f"{path} is not a CSV file in UTF-8 or UTF-16 with a header ({words}); {remedy}."
