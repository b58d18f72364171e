"""foldstack.lock: one at a time, and nothing to clean up after a kill."""

import os
import signal
import subprocess
import sys

import pytest

from foldstack import lock
from foldstack.errors import FoldstackError

HOLDER = "import sys, time; from pathlib import Path; from foldstack.lock import hold; hold(Path(sys.argv[1]));"


def holder(folder):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(lock.__file__))}
    code = HOLDER + "print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_one_is_refused_by_name_and_a_kill_leaves_nothing_behind(tmp_path):
    first = holder(tmp_path / "results")
    with pytest.raises(FoldstackError, match=rf"at work on .*results \(process {first.pid} on "):
        lock.hold(tmp_path / "results")
    first.send_signal(signal.SIGKILL)
    first.wait()
    os.close(lock.hold(tmp_path / "results"))


def test_two_experiments_do_not_meet(tmp_path):
    held = [lock.hold(tmp_path / name) for name in ("a", "b")]
    for descriptor in held:
        os.close(descriptor)
