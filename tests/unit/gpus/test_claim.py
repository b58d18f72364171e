"""GPUs for jobs, on fake ones: distinct leases, crash safety, masks, pins, shares, other people's work."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foldstack.errors import FoldstackError
from foldstack.gpus import claim, inventory, leases

CHILD = """
import json, os, sys, time
from foldstack.gpus import claim
n, seconds, plan = int(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])
with claim.claim(n, plan, memory=plan.pop("memory", 0), say=lambda text: print("say", text, flush=True)) as kind:
    print(kind, os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    time.sleep(seconds)
"""
BUSY = {"utilisation": 0.5, "memory": 0.25, "wait": 0.6, "then": "next"}
IDLE = [0.0, 100, 10_000]


@pytest.fixture
def four(tmp_path, monkeypatch):
    """Four stand-in GPUs, leased in a folder of this test's own."""
    monkeypatch.setenv(inventory.FAKE, "A,B,C,D")
    monkeypatch.setenv(leases.FOLDER, str(tmp_path / "leases"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return ["A", "B", "C", "D"]


@pytest.fixture
def load(four, tmp_path, monkeypatch):
    """Sets what NVML would read: load(A=[utilisation, used, total]); the other GPUs are idle."""
    path = tmp_path / "load.json"
    monkeypatch.setenv(inventory.FAKE_LOAD, str(path))

    def set_load(**readings):
        path.write_text(json.dumps(dict.fromkeys(four, IDLE) | readings))

    set_load()
    return set_load


@pytest.fixture
def child():
    """Starts a process that claims `n` GPUs; all are killed in the end."""
    started = []

    def start(n, seconds=60.0, **plan):
        environment = os.environ | {"PYTHONPATH": str(Path(claim.__file__).parents[2])}
        command = [sys.executable, "-c", CHILD, str(n), str(seconds), json.dumps(plan)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def leased(process) -> list[str]:
    """The GPUs that a child got; waits for it."""
    for line in process.stdout:
        kind, *names = line.split()
        if kind == "cuda":
            return names[0].split(",")
    raise AssertionError("the child ended without GPUs")


def test_jobs_at_the_same_time_hold_distinct_gpus(four, child):
    held = [name for process in [child(1), child(2), child(1)] for name in leased(process)]
    assert sorted(held) == four


def test_a_killed_job_frees_its_gpus(four, child):
    first = child(4)
    assert sorted(leased(first)) == four
    second = child(4, 0)
    time.sleep(0.5)
    assert second.poll() is None, "the second job must wait"
    first.send_signal(signal.SIGKILL)
    assert sorted(leased(second)) == four
    assert second.wait(timeout=30) == 0


def test_a_claim_of_several_gpus_is_not_starved_by_later_ones_of_one(four, child):
    first = [child(1) for _ in four]
    for process in first:
        leased(process)
    large = child(2)
    time.sleep(1.0)
    small = child(1)
    time.sleep(0.5)
    first[0].kill()
    time.sleep(1.0)
    assert small.poll() is None
    first[1].kill()
    assert len(leased(large)) == 2
    first[2].kill()
    assert len(leased(small)) == 1


def test_shares_fill_one_gpu_before_the_next(four, child):
    names = [leased(child(1, share=2))[0] for _ in range(3)]
    assert names == ["A", "A", "B"]
    assert sorted(name for process in [child(1), child(1)] for name in leased(process)) == ["C", "D"]


def test_a_share_must_leave_the_memory_that_others_will_use(load, child):
    load(A=[0.9, 9_000, 10_000])
    holder = child(1, share=2, devices=["A"], busy=BUSY | {"utilisation": 1, "memory": 1}, memory=6_000)
    assert leased(holder) == ["A"]
    assert leased(child(1, share=2, busy=BUSY, memory=6_000)) == ["B"], "6,000 + 6,000 of 10,000 MiB do not fit"


@pytest.mark.parametrize(
    ("mask", "expected"), [("1,3", ["B", "D"]), ("C", ["C"]), ("", []), ("0,9,1", ["A"]), (None, list("ABCD"))]
)
def test_the_parents_mask_is_respected(four, monkeypatch, mask, expected):
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert inventory.visible_gpus() == expected
    assert inventory.choose(None, "devices") == expected


def test_devices_of_the_config_are_numbers_or_uuids_and_must_exist(four, monkeypatch):
    assert inventory.choose([3, "B", "1"], "devices") == ["D", "B"]
    with pytest.raises(FoldstackError, match=r"models\.x\.devices: there is no GPU 7; this machine has 0 \(A\), 1"):
        inventory.choose([7], "models.x.devices")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    assert inventory.choose([3], "devices") == ["D"]
    with pytest.raises(FoldstackError, match="CUDA_VISIBLE_DEVICES=1,3 hides GPU 0"):
        inventory.choose([0], "devices")


def test_fewer_gpus_than_asked_for_is_an_error_and_not_a_smaller_run(four):
    with (
        pytest.raises(FoldstackError, match="asks for 3 GPUs, but may use 2"),
        claim.claim(3, {"devices": ["A", "B"]}),
    ):
        pass


def test_a_busy_gpu_is_passed_over(load, child):
    load(A=[0.97, 100, 10_000], B=[0.0, 9_000, 10_000])
    assert leased(child(1, busy=BUSY)) == ["C"]


def test_a_pinned_run_waits_says_so_and_goes_on_to_the_other_gpus(load, child):
    load(B=[0.97, 100, 10_000])
    said = child(1, 0, devices=["B"], others=["B", "D"], busy=BUSY).communicate(timeout=60)[0].splitlines()
    assert said[0].startswith("say waiting at most 0.6 s: GPU B is busy with other work (97% utilisation")
    assert "using the other GPUs too" in said[1]
    assert said[-1] == "cuda D"


def test_a_pinned_run_may_fail_instead(load):
    load(B=[0.97, 100, 10_000])
    with (
        pytest.raises(FoldstackError, match=r"GPU B is busy with other work .*raise busy\.wait"),
        claim.claim(1, {"devices": ["B"], "busy": BUSY | {"then": "fail"}}),
    ):
        pass


def test_a_gpu_that_becomes_free_in_time_is_taken(load, child):
    load(B=[0.97, 100, 10_000])
    waiting = child(1, devices=["B"], busy=BUSY | {"wait": 60})
    time.sleep(1.0)
    assert waiting.poll() is None
    load()
    assert leased(waiting) == ["B"]


def test_no_gpu_asked_for_means_the_cpu(four, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with claim.claim(0) as kind:
        assert kind == "cpu"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_no_gpu_there_means_the_cpu_whatever_the_config_names(four, monkeypatch):
    monkeypatch.setenv(inventory.FAKE, "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with claim.claim(1, {"devices": [3]}) as kind:
        assert kind == "cpu"


def test_slurms_choice_is_taken_as_it_is(four, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    with claim.claim(1, {"devices": [0]}) as kind:
        assert kind == "cuda"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2"


def test_snakemake_in_one_allocation_leases_from_what_slurm_gave_it(four, child, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,3")
    assert sorted(leased(child(1))[0] for _ in range(3)) == ["A", "B", "D"]


class FakeNvml:
    """The part of pynvml that is used: two GPUs, the second in MIG mode with two slices."""

    NVML_DEVICE_MIG_ENABLE = 1

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return f"gpu{index}"

    def nvmlDeviceGetMigMode(self, handle):
        if handle == "gpu0":
            raise self.NVMLError
        return 1, 1

    def nvmlDeviceGetMaxMigDeviceCount(self, handle):
        return 3

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index):
        if index == 2:
            raise self.NVMLError
        return f"{handle}/{index}"

    def nvmlDeviceGetUUID(self, handle):
        return {"gpu0": b"GPU-0", "gpu1/0": "MIG-1a", "gpu1/1": "MIG-1b"}[handle]

    def nvmlInit(self):
        pass

    def nvmlShutdown(self):
        pass


def test_a_gpu_in_mig_mode_counts_as_its_slices(monkeypatch):
    monkeypatch.delenv(inventory.FAKE, raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    assert inventory.all_gpus() == ["GPU-0", "MIG-1a", "MIG-1b"]
