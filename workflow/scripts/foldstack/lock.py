"""One snakemake at a time on the same results: a lock that the kernel frees, so that `kill -9` leaves nothing behind.

Snakemake's own locks are files that a killed process leaves, and an instance that ends deletes those of all others in
the same folder; so the profile switches them off (`nolock`), and this one is held from the start of the first job on.
"""

import fcntl
import os
import time
from pathlib import Path

from foldstack.errors import FoldstackError

PATIENCE = 3.0  # seconds: a snakemake that was just interrupted may need a moment to end
_held: dict[Path, int] = {}


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
            owner = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "of unknown number"
            os.close(descriptor)
            raise FoldstackError(
                f"Another snakemake (process {owner}) works on {results}; wait until it has ended or stop it, "
                "or give this config another name under experiment."
            )
        time.sleep(0.1)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} on {os.uname().nodename}\n".encode(), 0)
    _held[path] = descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: as good as Snakemake without its own
    return True
