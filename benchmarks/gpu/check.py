"""A check, and one run of it in a process group of its own, which is ended when its time is over."""

import contextlib
import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from foldstack import files
from foldstack.errors import FoldstackError

END_SECONDS = 10.0  # that a killed process may take to leave the driver
LOG_LINES = 40


class Skipped(Exception):
    """Raised by a check that cannot show anything here, with the reason."""


@dataclass
class Attempt:
    """What a check is given.

    Attributes:
        folder: for its files; removed afterwards.
        rehearsal: on stand-in GPUs, so on the CPU and with small settings.
        figures: what it has measured so far, as JSON can hold it.
    """

    folder: Path
    rehearsal: bool
    figures: dict = field(default_factory=dict)

    def see(self, **figures) -> None:
        """Note figures at once, so that a check that is ended later has shown them."""
        self.figures |= figures
        files.write_text(self.folder / "figures.json", json.dumps(self.figures))  # in the order in which they came


@dataclass(frozen=True)
class Check:
    """One thing that a GPU is to show.

    Attributes:
        name: by which it is chosen.
        seconds: that it may take.
        shows: what is known when it has passed, in one sentence.
        function: does it; raises FoldstackError with a sentence where the GPU shows something else.
    """

    name: str
    seconds: float
    shows: str
    function: Callable[[Attempt], None]


def run(check: Check, attempt: Attempt, seconds: float) -> dict:
    """Run a check for at most `seconds`; it and all processes of its group are gone when this returns.

    Returns:
        `outcome` ("ok", "failed", "timed out" or "skipped"), `sentence` (why, "" where ok), `seconds` that it took,
        `figures`, and where it did not end well `log`, the last lines that it printed.
    """
    started = time.monotonic()
    # "spawn", for the check may start CUDA. No daemon, for it starts processes.
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(check.function, attempt))
    process.start()
    try:
        process.join(seconds)
        timed_out = process.is_alive()
    finally:
        _end(process)
    result = {"outcome": "timed out", "sentence": f"It did not end within {seconds:.0f} s."}
    if not timed_out:
        ended = f"Its process ended with {process.exitcode} and gave no reason."
        result = _read(attempt.folder / "result.json") or {"outcome": "failed", "sentence": ended}
    result |= {"seconds": round(time.monotonic() - started, 1), "figures": _read(attempt.folder / "figures.json")}
    if result["outcome"] in ("failed", "timed out"):
        result["log"] = (
            _log(attempt).read_text(errors="replace").splitlines()[-LOG_LINES:] if _log(attempt).exists() else []
        )
    return result


def _work(function: Callable[[Attempt], None], attempt: Attempt) -> None:
    """The life of a check's process."""
    os.setsid()
    with open(_log(attempt), "wb", buffering=0) as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    result = {"outcome": "ok", "sentence": ""}
    try:
        function(attempt)
    except Skipped as reason:
        result = {"outcome": "skipped", "sentence": str(reason)}
    except Exception as error:
        traceback.print_exc()
        clear = isinstance(error, FoldstackError)
        result = {"outcome": "failed", "sentence": str(error) if clear else f"{type(error).__name__}: {error}"}
    files.write_json(attempt.folder / "result.json", result)


def _end(process: multiprocessing.Process) -> None:
    """Kill what is left of a check's group, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()  # it may not have a group of its own yet
        os.killpg(process.pid, signal.SIGKILL)
    process.join(END_SECONDS)
    until = time.monotonic() + END_SECONDS
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


def _log(attempt: Attempt) -> Path:
    return attempt.folder / "log"


def _read(path: Path) -> dict:
    return files.read_json(path) if path.exists() else {}
