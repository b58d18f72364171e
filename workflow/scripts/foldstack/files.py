"""Files on disk: written whole or not at all, JSON and CSV in one form, and their SHA-256."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from foldstack.errors import FoldstackError


@contextlib.contextmanager
def atomic(path):
    """Yield a temporary Path beside `path`; rename it to `path` on success, remove it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value) -> None:
    """Write JSON with sorted keys; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path) -> dict:
    """Read a JSON file; raises FoldstackError where it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FoldstackError(f"{path} cannot be read ({error}); delete it and run the same command again.") from error


def write_csv(path, table, float_format: str = "%.6f") -> None:
    """Write a data frame as CSV: a header, no index, lines that end in a line feed."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format=float_format, lineterminator="\n")


def digest_of(value) -> str:
    """SHA-256 of a value that JSON can hold, whatever the order of its keys; 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sha256_of(path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; raises OSError where it cannot be read."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
