"""One digest of the source files' contents, cheap enough for every start of Snakemake.

Snakemake would compare times, and would take minutes and gigabytes over 60,000 input files. Here a file is read again
only when its size, times or inode differ from the last look; what counts is its content. The time of its last change
(ctime) and its inode tell apart files of equal size and time that were swapped, as unpacked ones may be.
Standard library only.
"""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

from foldstack import text_table
from foldstack.errors import FoldstackError
from foldstack.files import sha256_of

HEIF = (".heic", ".heics", ".heif", ".heifs", ".hif")  # read only where pillow-heif is installed
CACHE_FOLDER = Path(".snakemake") / "foldstack"


def digest(section: dict, name: str = "data") -> str:
    """Digest of the names and contents of the files that a section of the config names.

    Names count relative to the section's path, so moving the whole folder changes nothing. "" for built-in data.

    Args:
        section: the section; name: `data` or `predict`.

    Raises:
        FoldstackError: a folder or table that cannot be read, or that names no existing file.
    """
    paths = _named(section)
    if not paths:
        return ""
    cache_file = _cache_file(paths)
    known = _load(cache_file)
    seen, total, heif = {}, hashlib.sha256(), False
    for root in paths:
        for path in _readable_files(root, section, name):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # it vanished a moment ago
            stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            relative = os.path.relpath(path, root)
            key = f"{root}\n{relative}"
            entry = known.get(key)
            if entry is None or entry[:-1] != stamp:
                entry = [*stamp, content(path)]
            seen[key] = entry
            total.update(f"{relative}\0{entry[-1]}\0".encode("utf-8", "surrogateescape"))
            heif = heif or path.suffix.lower() in HEIF
    if heif and importlib.util.find_spec("pillow_heif"):
        total.update(b"with a reader of HEIC")
    if seen != known:
        _save(cache_file, seen)
    return total.hexdigest()


def sizes(section: dict) -> list[tuple[str, str, int]]:
    """(path in the config, path below it, bytes) of each file that the last look at a section found, if any."""
    paths = _named(section)
    known = _load(_cache_file(paths)) if paths else {}
    return [(*key.split("\n", 1), entry[0]) for key, entry in known.items()]


def _named(section: dict) -> list[Path]:
    return [Path(section[key]) for key in ("path", "test_path") if section.get(key)]


def _cache_file(paths: list[Path]) -> Path:
    return CACHE_FOLDER / f"{hashlib.sha256(str(paths).encode()).hexdigest()[:16]}.json"


def _readable_files(root: Path, section: dict, name: str) -> list[Path]:
    try:
        files = _files(root, section, name)
    except OSError as error:
        raise FoldstackError(
            f"{error.filename or root} cannot be read ({error.strerror}); change its permissions or remove it."
        ) from error
    if not files:
        raise FoldstackError(f"{root} holds no file; put the data there or correct the path in the config.")
    return files


def _files(root: Path, section: dict, name: str) -> list[Path]:
    """Files below `root` in a fixed order; for a table, the file itself and the images that it lists."""
    if root.is_dir():
        return sorted(path for path in _walk(root, seen=set()) if os.path.isfile(path))
    if section["format"] != "csv":
        return [root]
    table, found = text_table.open_table(root, name, section["columns"], ["path"])
    place = table.header.index(found.used["path"])  # type: ignore[arg-type]  # the schema: only `label` may be a list
    folder = Path(section["images"]) if section["images"] else root.parent
    cells = sorted({row[place] for row in table.rows} - {""})
    listed = sorted({text_table.find_file(folder, cell, section["suffix"])[1] for cell in cells}, key=str)
    images = [path for path in listed if "\0" not in str(path) and os.path.isfile(path)]
    if listed and not images:
        near = text_table.nearby(listed[0], name)
        raise FoldstackError(
            f"None of the {len(listed)} images that {root} lists exists; the first would be {str(listed[0])[:200]!r}"
            f"{f': {near}' if near else ''}; correct the paths, or set {name}.images or {name}.suffix."
        )
    return [root, *images]


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


def content(path: Path) -> str:
    """SHA-256 of a file, or why it cannot be read."""
    try:
        return sha256_of(path)
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
