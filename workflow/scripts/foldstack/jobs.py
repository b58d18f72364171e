"""What every job shares: its log, its errors, atomic outputs, and the versions it ran with."""

import contextlib
import errno
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path

from foldstack import codedigest, lock
from foldstack.errors import FoldstackError

RECORDED_PACKAGES = (
    "snakemake",
    "numpy",
    "pandas",
    "scikit-learn",
    "lightgbm",
    "torch",
    "timm",
    "onnx",
    "onnxruntime",
)


@contextlib.contextmanager
def job(smk):
    """Run a script's body: all output goes to the rule's log, whose last line is the reason where the job fails.

    Refuses to start when the code on disk is no longer the code that Snakemake recorded for this job, since the
    result would be filed under the wrong digest for good. Exits with 1 on any exception, its traceback in the log.
    """
    code = list(smk.params.get("code", []))
    log = Path(smk.log[0])
    results = next((folder for folder in log.parents if (folder / ".lock").exists()), log.parent)
    with _output_to(log), lock.ending_with(results):
        try:
            codedigest.check_unchanged(code)
            yield
            codedigest.check_closure(code)
        except Exception as error:
            traceback.print_exc()
            sentence = _sentence(error)
            if sentence:
                print(sentence, file=sys.stderr)
            raise SystemExit(1) from None


def _sentence(error: BaseException | None) -> str:
    """What a person can do about a failure of the machine; "" for an error that speaks for itself."""
    while error is not None and not isinstance(error, FoldstackError):
        words, number = str(error), getattr(error, "errno", None)
        where = f" ({error.filename})" if getattr(error, "filename", None) else ""
        again = "then run the same command again: what is finished is kept."
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left on device" in words:
            return f"The disk is full, or a file reached its size limit{where}; free some space, {again}"
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"Not allowed to read or write{where or ' a file'}: {os.strerror(number)}; change that, {again}"
        if number == errno.ENOENT:
            return f"A file vanished while the workflow ran{where}; put it back, {again}"
        if isinstance(error, MemoryError):
            return f"The machine has too little memory for this job; give it more or lower --cores, {again}"
        error = error.__cause__
    return ""


@contextlib.contextmanager
def _output_to(log: Path):
    """Send file descriptors 1 and 2 (also those of C libraries) to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(1), os.dup(2)
    with open(log, "wb") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)


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


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result, without importing them."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
