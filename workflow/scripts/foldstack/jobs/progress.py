"""How far is each job? Jobs write one small file each; the terminal shows them all in a few lines.

Runs record their own figures (`run_reporter`). Every other long stage says which steps it goes through:

    for path in steps(paths, "reading images"):

    with stage("boosting", rounds) as step:
        train(callback=lambda _: step())

Where one of them runs inside another, the outer one's share of steps counts on with the inner one's. Outside a job of
Snakemake, and in processes that a job starts, all this does nothing.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
EVERY = 1.0  # seconds between two writes of a stage's file
EARLY = 3.0  # seconds after which the pace is worth an estimate


def run_reporter(path) -> Callable[..., None]:
    """A callable that records a run's latest figures in `path`.

    Called as report(epoch=, epochs=, step=, steps=, train_loss=, inner_accuracy=, images_per_second=, seconds_left=).
    A run never fails because its progress could not be written.
    """
    path = Path(path)

    def report(**figures) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({**figures, "time": time.time()}), encoding="utf-8")
            os.replace(temporary, path)

    return report


def read_progress(path) -> dict | None:
    """A job's latest figures, or None where there are none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def stage_file(results: Path, log: Path) -> Path:
    """Where the job with this log, a file in `results`, records its stages."""
    return results / "work" / "progress" / log.relative_to(results).with_suffix(".json")


@dataclass(eq=False)
class _Stage:
    what: str
    total: int
    started: float
    done: float = 0


_report: Callable[..., None] | None = None  # of the job of this process
_owner = 0  # its process: a forked worker has the same variables
_stages: list[_Stage] = []  # those that are running, outermost first
_written = 0.0


@contextlib.contextmanager
def recorded_in(path: Path | None) -> Iterator[None]:
    """Record the stages of the block in `path`, which is removed at the end; None records nothing."""
    global _report, _owner, _written
    if path is None:
        yield
        return
    _report, _owner, _written = run_reporter(path), os.getpid(), 0.0
    try:
        yield
    finally:
        _report = None
        _stages.clear()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def stage(what: str, total: int) -> Iterator[Callable[..., None]]:
    """A stage of `total` steps, named in words such as "reading images"; yields step(n=1), to call after n steps."""
    if _report is None or _owner != os.getpid():
        yield lambda n=1: None
        return
    running = _Stage(what, total, time.monotonic())
    _stages.append(running)
    _write()

    def step(n: float = 1) -> None:
        running.done += n
        _write()

    try:
        yield step
    finally:
        if running in _stages:
            _stages.remove(running)


def steps(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """The items, one step each; `total` says how many there are where `items` has no length."""
    with stage(what, len(items) if total is None else total) as step:  # type: ignore[arg-type]  # it has one
        for item in items:
            yield item
            step()


def _write() -> None:
    global _written
    now = time.monotonic()
    if _report is None or now - _written < EVERY:
        return
    _written = now
    share = 0.0
    for running in reversed(_stages):
        share = min((running.done + share) / max(running.total, 1), 1.0)
    passed = now - _stages[0].started
    left = passed / share - passed if share and passed > EARLY else None
    _report(what=", ".join(running.what for running in _stages), share=share, seconds_left=left)
