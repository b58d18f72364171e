"""Checkpoints: save and resume a run after a crash, a time limit or a signal.

A checkpoint is 32 bytes of SHA-256, then torch's own format, since torch does not notice damaged tensors. It lives in
a folder that Snakemake does not know (declared outputs of an unfinished job are deleted), named by everything that
decides the run's result, so that a checkpoint of other code, data or settings is never used.
"""

import hashlib
import io
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import NamedTuple

import torch

from foldstack.files import atomic
from foldstack.reruns import finished_runs
from foldstack.training.schedules import OPEN_ENDED

SECONDS_BETWEEN = 20.0
SHARE_OF_TIME = 0.05  # at most this share of a run is spent on writing checkpoints


class Checkpoint:
    """The checkpoint of one run.

    Args:
        folder: where checkpoints of this run live, each in a folder named by its identity.
        identity: JSON-serialisable dict of all that decides the run's result.
    """

    def __init__(self, folder, identity: dict):
        self.key = finished_runs.digest(identity)
        self.path = Path(folder) / self.key[:16] / "checkpoint.pt"
        self.interval = SECONDS_BETWEEN
        self.saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        return time.monotonic() - self.saved_at >= self.interval

    def save(self, state: dict) -> None:
        """Write `state` (tensors, numbers, texts, lists, dicts), replacing the last one atomically."""
        started = time.monotonic()
        buffer = io.BytesIO()
        torch.save({"key": self.key, "state": state}, buffer)
        with atomic(self.path) as temporary, open(temporary, "wb") as stream:
            stream.write(hashlib.sha256(buffer.getbuffer()).digest())
            stream.write(buffer.getbuffer())
        self.saved_at = time.monotonic()
        self.interval = max(SECONDS_BETWEEN, (self.saved_at - started) / SHARE_OF_TIME)

    def load(self) -> dict | None:
        """The saved state with tensors on the CPU, or None; a damaged or foreign file is reported and removed."""
        if not self.path.exists():
            return None
        try:
            content = self.path.read_bytes()
            if hashlib.sha256(content[32:]).digest() != content[:32]:
                raise ValueError("checksum does not match")
            saved = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
            if saved["key"] != self.key:
                raise ValueError("it belongs to another run")
            return saved["state"]
        except Exception as error:  # whatever is wrong with it, the run can start from the beginning
            print(f"checkpoint {self.path} ignored ({error}) and removed")
            self.remove()
            return None

    def stale(self) -> list[Path]:
        """Folders with checkpoints of the same run under another config, code or data."""
        return sorted(path for path in self.path.parent.parent.glob("*") if path != self.path.parent)

    def remove(self) -> None:
        """Remove it with its folder, where a process killed while writing may have left a part of one."""
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove it and the stale ones."""
        for path in self.stale():
            print(f"removed the stale checkpoint {path}")
        shutil.rmtree(self.path.parent.parent, ignore_errors=True)


class Checkpoints(NamedTuple):
    """Of one run.

    Attributes:
        current: the run's own.
        final: at the end of training, shared by runs with other `epochs`; None where learning rates depend on `epochs`.
    """

    current: Checkpoint
    final: Checkpoint | None


def of_run(work, identity: dict) -> Checkpoints:
    """The checkpoints of the run with this identity."""
    model, seed, fold = identity["run"]
    checkpoint = Checkpoint(Path(work) / "checkpoints" / f"{model}.seed{seed}.fold{fold}", identity)
    for path in checkpoint.stale():
        print(f"stale checkpoint {path} ignored (another config, code or data); removed when this run completes")
    if identity["config"]["schedule"] not in OPEN_ENDED:
        return Checkpoints(checkpoint, None)
    config = {key: value for key, value in identity["config"].items() if key != "epochs"}
    return Checkpoints(checkpoint, Checkpoint(finished_runs.shelf(work), identity | {"config": config}))


class StopSignal:
    """Notes SIGTERM and SIGINT while the block runs; `number` is the signal's, or None.

    Handlers can be set in the main thread only; in other threads (in tests) signals are not caught.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, _frame) -> None:
        self.number = number
