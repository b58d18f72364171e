"""foldstack.devices on fake cards: distinct leases, crash safety, the parent's mask."""

import os
import signal
import subprocess
import sys
import time

import pytest

from foldstack import devices

CHILD = """
import sys, time
from foldstack import devices
with devices.claim(int(sys.argv[1])) as kind:
    import os
    print(kind, os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """Four fake cards, leased in a folder of this test's own."""
    monkeypatch.setenv(devices.FAKE, "A,B,C,D")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return ["A", "B", "C", "D"]


def child(n, seconds):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(devices.__file__))}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(n), str(seconds)], stdout=subprocess.PIPE, text=True, env=environment
    )


def leased(process) -> list[str]:
    kind, names = process.stdout.readline().split()
    assert kind == "cuda"
    return names.split(",")


def test_jobs_at_the_same_time_hold_distinct_cards(cards):
    processes = [child(1, 30), child(2, 30), child(1, 30)]
    try:
        held = [name for process in processes for name in leased(process)]
        assert sorted(held) == cards
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_killed_job_frees_its_cards(cards):
    first = child(4, 60)
    assert sorted(leased(first)) == cards
    second = child(4, 0)
    time.sleep(0.5)
    assert second.poll() is None, "the second job must wait"
    first.send_signal(signal.SIGKILL)
    assert sorted(leased(second)) == cards
    assert second.wait(timeout=30) == 0
    first.wait()


@pytest.mark.parametrize(("mask", "expected"), [("1,3", ["B", "D"]), ("C", ["C"]), ("", []), ("0,9,1", ["A"])])
def test_the_parents_mask_is_respected(cards, monkeypatch, mask, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert devices.visible_gpus() == expected


def test_no_card_asked_for_means_the_cpu(cards, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with devices.claim(0) as kind:
        assert kind == "cpu"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_no_card_there_means_the_cpu(cards, monkeypatch):
    monkeypatch.setenv(devices.FAKE, "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with devices.claim(1) as kind:
        assert kind == "cpu"


def test_slurms_choice_is_taken_as_it_is(cards, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    with devices.claim(1) as kind:
        assert kind == "cuda"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"
