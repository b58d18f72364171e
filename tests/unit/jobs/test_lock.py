"""foldstack.jobs.lock: one snakemake at a time on the same results, and nothing left behind by `kill -9`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foldstack.errors import FoldstackError
from foldstack.jobs import lock

HOLD = """
import sys
from pathlib import Path
from foldstack.jobs import lock
lock.hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
JOB = """
import signal, sys, time
from pathlib import Path
from foldstack.jobs import lock
signal.signal(signal.SIGTERM, lambda *_: sys.exit("saved"))
with lock.ending_with(Path(sys.argv[1])):
    print("started", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def start(tmp_path):
    """Starts a program on a results folder and waits for its first line."""
    started = []

    def start(program: str):
        process = subprocess.Popen(
            [sys.executable, "-c", program, tmp_path / "results"],
            env=os.environ | {"PYTHONPATH": str(Path(lock.__file__).parents[2])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_one_is_refused_until_the_first_is_gone_even_by_kill_9(start, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.2)
    first = start(HOLD)
    with pytest.raises(FoldstackError, match=rf"Another snakemake \(process {first.pid} on .*wait until it ends"):
        lock.hold(tmp_path / "results")
    lock.hold(tmp_path / "other")
    first.send_signal(signal.SIGKILL)
    first.wait()
    lock.hold(tmp_path / "results")
    lock.hold(tmp_path / "results")


def test_a_job_ends_with_the_snakemake_that_started_it(start):
    first = start(HOLD)
    job = start(JOB)
    time.sleep(1.5 * lock.WATCH_EVERY)
    assert job.poll() is None
    first.kill()
    first.wait()
    assert job.wait(timeout=20 * lock.WATCH_EVERY) == 1
    assert "saved" in job.stderr.read()


def test_a_job_without_a_lock_runs_on(tmp_path):
    with lock.ending_with(tmp_path):
        time.sleep(1.2 * lock.WATCH_EVERY)
    (tmp_path / ".lock").touch()
    with lock.ending_with(tmp_path):
        time.sleep(1.2 * lock.WATCH_EVERY)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(FoldstackError, match="results/x cannot be written"):
        lock.hold(tmp_path / "results" / "x")
