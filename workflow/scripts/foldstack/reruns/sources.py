"""One digest of the source files' contents, cheap enough for every start of Snakemake.

Snakemake would compare times, and would take minutes and gigabytes over 60,000 input files. Here a file is read again
only when its size or modification time differs from the last look; what counts is its content. Standard library only.
"""

import csv
import hashlib
import json
import os
from pathlib import Path

from foldstack.errors import FoldstackError

CACHE_FOLDER = Path(".snakemake") / "foldstack"


def digest(section: dict) -> str:
    """Digest of the names and contents of the files that a `data` or `predict` section of the config names.

    Names count relative to the section's path, so moving the whole folder changes nothing. "" for built-in data.

    Raises:
        FoldstackError: a folder or table that cannot be read, or that names nothing.
    """
    paths = [Path(section[key]) for key in ("path", "test_path") if section.get(key)]
    if not paths:
        return ""
    cache_file = CACHE_FOLDER / f"{hashlib.sha256(str(paths).encode()).hexdigest()[:16]}.json"
    known = _load(cache_file)
    seen, total = {}, hashlib.sha256()
    for root in paths:
        for path in _readable_files(root, section["format"]):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # it vanished a moment ago
            stamp = [status.st_size, status.st_mtime_ns]
            name = os.path.relpath(path, root)
            key = f"{root}\n{name}"
            entry = known.get(key)
            if entry is None or entry[:2] != stamp:
                entry = [*stamp, _content(path)]
            seen[key] = entry
            total.update(f"{name}\0{entry[2]}\0".encode("utf-8", "surrogateescape"))
    if seen != known:
        _save(cache_file, seen)
    return total.hexdigest()


def _readable_files(root: Path, form: str) -> list[Path]:
    try:
        files = _files(root, form)
    except OSError as error:
        raise FoldstackError(
            f"{error.filename or root} cannot be read ({error.strerror}); change its permissions or remove it."
        ) from error
    except csv.Error as error:
        raise FoldstackError(f"{root} is not a CSV file with a header ({error}); correct it.") from error
    if not files:
        raise FoldstackError(f"{root} holds no file; put the data there or correct the path in the config.")
    return files


def _files(root: Path, form: str) -> list[Path]:
    """Files below `root` in a fixed order; for a CSV, the file itself and the images that it lists."""
    if root.is_dir():
        return sorted(path for path in _walk(root, seen=set()) if os.path.isfile(path))
    if form != "csv":
        return [root]
    with open(root, newline="", encoding="utf-8-sig", errors="replace") as stream:
        table = csv.DictReader(stream)
        if "path" not in (table.fieldnames or ()):
            raise FoldstackError(f"{root} has no column 'path', only {list(table.fieldnames or ())[:20]}; add it.")
        listed = {row.get("path") or "" for row in table}
    images = (root.parent / name for name in sorted(listed) if name and "\0" not in name)
    return [root, *(path for path in images if os.path.isfile(path))]


def _walk(folder: Path, seen: set[Path]):
    """Files below a folder, links to folders followed, each real folder once."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path, seen)
        else:
            yield path


def _content(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"  # prepare_data quarantines it and says why


def _load(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _save(path: Path, entries: dict) -> None:
    """Remember for the next start; a read-only folder only costs time."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(entries), encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
