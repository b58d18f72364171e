"""NVML's readings of a GPU, and a lease of it by UUID."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from foldstack import files
from foldstack.errors import FoldstackError
from foldstack.gpus import claim, inventory, leases
from gpu.check import Attempt

FILLED = 0.3  # of the GPU's memory: more than `busy.memory` by default
BUSY = {"utilisation": 0.5, "memory": 0.25, "wait": 1, "then": "fail"}
WORK_SECONDS = 4
FREED_SECONDS = 20
NEARLY = 0.05  # that NVML and torch may differ in what they count as memory
CONTEXT_MIB = 1024  # at most, of what a process takes besides its tensors


def check_lease(attempt: Attempt) -> None:
    """See CHECKS in run.py."""
    gpus = inventory.visible_gpus()
    if attempt.rehearsal:
        os.environ[inventory.FAKE_LOAD] = str(attempt.folder / "load.json")
        files.write_json(attempt.folder / "load.json", {gpu: [0.0, 500.0, 10_000.0] for gpu in gpus})
    attempt.see(gpus=gpus)
    with _holder() as tell:
        seen = tell("look")
        gpu = seen["leased"]
        _compare(attempt, gpu, seen)
        before = _reading(gpu)
        _require(0 <= before.used <= before.total, f"NVML says that {before.used} of {before.total} MiB are in use")
        amount = FILLED * before.total
        tell(f"fill {amount}")
        rise = _reading(gpu).used - before.used
        attempt.see(filled_mib=amount, used_memory_rose_by_mib=rise)
        _require(
            (1 - NEARLY) * amount <= rise <= (1 + NEARLY) * amount + CONTEXT_MIB,
            f"used memory rose by {rise:,.0f} MiB when a process filled {amount:,.0f} MiB",
        )
        attempt.see(others_are_told=_refused(attempt, gpu))
        tell.begin(f"work {WORK_SECONDS}")
        utilisations = []
        for _ in range(WORK_SECONDS * 5):
            time.sleep(0.2)
            utilisations.append(_reading(gpu).utilisation)
        tell.answer()
        attempt.see(highest_utilisation_at_work=max(utilisations))
        mig = gpu.startswith("MIG-")  # of which NVML knows no utilisation
        _require(mig or max(utilisations) >= BUSY["utilisation"], "utilisation stayed low while a process kept it busy")
    until = time.monotonic() + FREED_SECONDS
    while (left := _reading(gpu).used - before.used) > CONTEXT_MIB and time.monotonic() < until:
        time.sleep(0.2)
    attempt.see(used_memory_after_it_ended_mib=_reading(gpu).used)
    _require(left <= CONTEXT_MIB, f"{left:,.0f} MiB were still in use {FREED_SECONDS} s after the process ended")


class _Talk:
    """The commands of holder.py, and its answers."""

    def __init__(self, process: subprocess.Popen):
        self.process = process

    def __call__(self, command: str) -> dict:
        self.begin(command)
        return self.answer()

    def begin(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
            print(line, end="")  # what `claim` has to say
        raise FoldstackError(f"The process that held the lease ended with {self.process.wait()}; see the log.")


@contextlib.contextmanager
def _holder() -> Iterator[_Talk]:
    """A process with a lease; gone when the block ends."""
    command = [sys.executable, str(Path(__file__).with_name("holder.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Talk(process)
            process.stdin.close()
            process.wait()
        finally:
            process.kill()


def _compare(attempt: Attempt, gpu: str, seen: dict) -> None:
    """What the process sees by torch must be what it leased, and what NVML says of that."""
    reading = _reading(gpu)
    attempt.see(leased=gpu, torch_sees=f"{seen['count']} GPU, {seen['name']}, {seen['uuid']}")
    attempt.see(total_memory_mib=reading.total, total_memory_by_torch_mib=seen["total_mib"])
    attempt.see(used_memory_mib=reading.used, utilisation=reading.utilisation)
    _require(gpu in inventory.visible_gpus(), f"CUDA_VISIBLE_DEVICES was {gpu!r}, which NVML does not know")
    _require(seen["count"] == 1, f"torch saw {seen['count']} GPUs behind a lease of one")
    bare = [uuid.removeprefix("GPU-").removeprefix("MIG-") for uuid in (gpu, seen["uuid"])]
    _require(bare[0] == bare[1], f"torch saw the GPU {seen['uuid']}, but {gpu} was leased")
    near = abs(reading.total - seen["total_mib"]) <= NEARLY * reading.total
    _require(near, f"NVML counts {reading.total:,.0f} MiB of memory, torch {seen['total_mib']:,.0f}")
    _require(0 <= reading.utilisation <= 1, f"NVML says that utilisation is {reading.utilisation}")


def _refused(attempt: Attempt, gpu: str) -> str:
    """What a run is told that finds the GPU filled by a process that does not belong to Foldstack."""
    os.environ[leases.FOLDER] = str(attempt.folder / "others")  # where nobody has leased it
    try:
        with claim.claim(1, {"devices": [gpu], "busy": BUSY}):
            pass
    except FoldstackError as error:
        return str(error)
    raise FoldstackError(f"{gpu} was leased though other work filled {FILLED:.0%} of its memory.")


def _reading(gpu: str) -> inventory.Reading:
    found = inventory.reading(gpu)
    _require(found is not None, f"NVML gives no reading of {gpu}")
    return found


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FoldstackError(f"{otherwise}.")
