"""One Snakemake at a time on an experiment's results.

Snakemake's own lock outlives a killed process, and the same command is then refused until `--unlock`. This one is a
`flock`: the kernel frees it when its process ends, in whatever way. The default profile turns Snakemake's off.
"""

import fcntl
import os
import socket
from pathlib import Path

from foldstack.errors import FoldstackError


def hold(results: Path) -> int:
    """Take the lock of the experiment in `results` until this process ends; returns its file descriptor.

    Raises:
        FoldstackError: another process holds it; names that process.
    """
    results.mkdir(parents=True, exist_ok=True)
    path = results / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 200).decode(errors="replace").strip() or "an unknown process"
        os.close(descriptor)
        raise FoldstackError(
            f"Another snakemake is at work on {results} ({holder}); wait until it ends, or give this config another "
            "`experiment` name."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return descriptor
