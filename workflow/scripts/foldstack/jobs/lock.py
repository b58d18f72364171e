"""One snakemake at a time on the same results: a lock that the kernel frees, so that `kill -9` leaves nothing behind.

Snakemake's own locks are files that a killed process leaves, and an instance that ends deletes those of all others in
the same folder; so the profile switches them off (`nolock`), and this one is held from the start of the first job on.
"""

import contextlib
import fcntl
import os
import signal
import threading
import time
from pathlib import Path

from foldstack.errors import FoldstackError

WATCH_EVERY = 1.0  # seconds
PATIENCE = 3.0  # seconds: a snakemake that was just interrupted may need a moment to end
_held: dict[Path, int] = {}


def check_folder(folder: Path) -> None:
    """Raise FoldstackError where snakemake cannot write its metadata, for which it only shows a traceback."""
    metadata = folder / ".snakemake"
    if not os.access(metadata if metadata.exists() else folder, os.W_OK | os.X_OK):
        raise FoldstackError(f"{folder} cannot be written; change its permissions or start snakemake elsewhere.")


def hold(results: Path) -> None:
    """Take the lock of a results folder until this process ends.

    Raises:
        FoldstackError: another process holds it, or the folder cannot be written.
    """
    path = results.resolve() / ".lock"
    if path in _held:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise FoldstackError(
            f"{results} cannot be written ({error.strerror}); change its permissions or start snakemake elsewhere."
        ) from error
    until = time.monotonic() + PATIENCE
    while not _locked(descriptor):
        if time.monotonic() > until:
            owner = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "of unknown id"
            os.close(descriptor)
            raise FoldstackError(
                f"Another snakemake (process {owner}) is using {results}; wait until it ends, stop it, "
                "or give this config another name under experiment."
            )
        time.sleep(0.1)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} on {os.uname().nodename}\n".encode(), 0)
    _held[path] = descriptor


def is_free(results: Path) -> bool:
    """Whether no snakemake is using these results."""
    try:
        descriptor = os.open(results / ".lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return _free(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def ending_with(results: Path):
    """End this process by SIGTERM once the snakemake that holds the lock of `results` has exited.

    A job that outlived a `kill -9` of its snakemake would train beside the same job of the next one. Where nobody holds
    the lock when the block starts (no lock file, or locks that other machines do not see), nothing is watched.
    """
    try:
        descriptor = os.open(results / ".lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    done = threading.Event()
    if not _free(descriptor):
        threading.Thread(target=_watch, args=(descriptor, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(descriptor: int, done: threading.Event) -> None:
    while not done.wait(WATCH_EVERY):
        if _free(descriptor):
            print("Snakemake has exited; stopping this job.", flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _free(descriptor: int) -> bool:
    """Whether nobody holds the lock; asks for a shared one, so that watchers do not see each other."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: go on without one
    return True
