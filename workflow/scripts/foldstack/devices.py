"""Real devices for Snakemake's count: `gpu: n` becomes n cards, leased under locks that the kernel frees.

Snakemake counts the resource `gpu` but tells no job which card it has (snakemake#281). A lease is an exclusive
`flock` on one file a card; a process that dies, by `kill -9` too, frees its cards, and several Snakemakes on one host
share them.
"""

import contextlib
import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path

FAKE = "FOLDSTACK_FAKE_GPUS"
POLL_SECONDS = 0.2
SAY_AFTER_SECONDS = 10


def visible_gpus() -> list[str]:
    """UUIDs of the cards that this process may use: all, or what CUDA_VISIBLE_DEVICES leaves; does not import torch.

    The environment variable FOLDSTACK_FAKE_GPUS (comma-separated ids) replaces the hardware, for tests.
    """
    if FAKE in os.environ:
        found = [name for name in os.environ[FAKE].split(",") if name]
    else:
        found = _nvml_uuids()
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return found
    chosen = []
    for entry in (part.strip() for part in mask.split(",")):
        matches = [found[int(entry)]] if entry.isdigit() and int(entry) < len(found) else _by_prefix(entry, found)
        if not matches:
            break  # CUDA itself ignores everything after the first entry that it does not know
        chosen += matches
    return chosen


@contextlib.contextmanager
def claim(n_gpus: int):
    """Lease `n_gpus` cards for the duration of the block; call it before torch is imported.

    Sets CUDA_VISIBLE_DEVICES to the leased UUIDs. Yields "cuda", or "cpu" where `n_gpus` is 0 or no card is there.
    Under Slurm the cards were assigned already and are taken as they are.
    """
    cards = visible_gpus()
    if n_gpus == 0 or not cards:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        yield "cpu"
        return
    if "SLURM_JOB_ID" in os.environ:
        yield "cuda"
        return
    with _lease(cards, min(n_gpus, len(cards))) as leased:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(leased)
        yield "cuda"


@contextlib.contextmanager
def _lease(cards: list[str], n: int):
    """Hold exclusive locks on n of `cards`, all or none, waiting as long as it takes."""
    started, said = time.monotonic(), False
    while True:
        held = _try_lock(cards, n)
        if len(held) == n:
            break
        _unlock(held)
        if not said and time.monotonic() - started > SAY_AFTER_SECONDS:
            said = True
            print(f"waiting for {n} free card(s) of {len(cards)}", file=sys.stderr)
        time.sleep(POLL_SECONDS)
    try:
        yield list(held)
    finally:
        _unlock(held)


def _try_lock(cards: list[str], n: int) -> dict[str, int]:
    held = {}
    for card in cards:
        if len(held) == n:
            break
        descriptor = os.open(_lock_file(card), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held[card] = descriptor
        except BlockingIOError:
            os.close(descriptor)
    return held


def _unlock(held: dict[str, int]) -> None:
    for descriptor in held.values():
        os.close(descriptor)


def _lock_file(card: str) -> Path:
    folder = Path(tempfile.gettempdir()) / "foldstack-gpu-leases"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)  # other users of this host lease from the same folder
    path = folder / f"{card}.lock"
    if not path.exists():
        path.touch()
        with contextlib.suppress(PermissionError):
            path.chmod(0o666)
    return path


def _by_prefix(entry: str, found: list[str]) -> list[str]:
    return [name for name in found if entry and name.startswith(entry)][:1]


def _nvml_uuids() -> list[str]:
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no driver, no library: no card
        return []
    handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
    return [name.decode() if isinstance(name, bytes) else name for name in uuids]
