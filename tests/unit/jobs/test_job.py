"""foldstack.jobs.job: a job's log, and what it says when it fails."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foldstack.errors import FoldstackError
from foldstack.jobs import job
from foldstack.reruns import code_digest, versions

SCRIPT = """
import os, sys
from types import SimpleNamespace
from foldstack.errors import FoldstackError
from foldstack.jobs.job import job

snakemake = SimpleNamespace(log=[sys.argv[1]], params=dict(code=(sys.argv[3:] or [None])[0]), wildcards={}, rule="r")
with job(snakemake):
    print("from python")
    os.system("echo from a child process")
    if sys.argv[2] == "fail":
        raise FoldstackError("Row 3 is empty; fill it.")
print("after the job")
"""


def run_script(tmp_path, how, *code):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(job.__file__).parents[2])}
    log = tmp_path / "logs" / "r.log"
    done = subprocess.run([sys.executable, script, log, how, *code], capture_output=True, text=True, env=environment)
    return done, log.read_text()


def test_all_output_goes_to_the_log_and_the_terminal_stays_clean(tmp_path):
    done, log = run_script(tmp_path, "succeed")
    assert done.returncode == 0
    assert done.stdout == "after the job\n"
    assert "from python" in log
    assert "from a child process" in log


def test_a_failing_job_exits_non_zero_and_its_log_ends_with_the_sentence(tmp_path):
    done, log = run_script(tmp_path, "fail")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == ""
    assert log.splitlines()[-1].endswith("Row 3 is empty; fill it.")


def test_versions_name_what_decides_a_result():
    found = versions.versions()
    assert {"python", "torch", "lightgbm", "numpy"} <= set(found)


def test_job_refuses_code_that_changed_since_planning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code_digest.remember(code_digest.Code("0123", ["foldstack/errors.py@0123456789ab"]))
    done, log = run_script(tmp_path, "succeed", "0123")
    assert done.returncode == 1
    assert "from python" not in log
    assert log.splitlines()[-1].endswith("errors.py was edited while the workflow ran; run the same command again.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.npy"), r"The disk is full.* \(x\.npy\); free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "x.npy"), r"Not allowed to read or write \(x\.npy\)"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x.npy"), r"A file vanished.* \(x\.npy\); put it back"),
        (MemoryError(), "too little memory"),
    ],
)
def test_a_failure_of_the_machine_says_what_to_do(error, words):
    wrapped = RuntimeError("writing failed")
    wrapped.__cause__ = error
    for raised in (error, wrapped):
        assert re.search(words, job._sentence(raised))
        assert "run the same command again" in job._sentence(raised)


def test_errors_that_speak_for_themselves_are_left_alone():
    told = FoldstackError("Row 3 is empty; fill it.")
    told.__cause__ = FileNotFoundError(errno.ENOENT, "No such file", "x")
    assert job._sentence(told) == job._sentence(ValueError("x")) == ""
