"""Which GPUs this process may use, and how busy they are: NVML's view, without torch.

For tests and for trying things out, FOLDSTACK_FAKE_GPUS (ids, separated by commas) replaces the hardware, and
FOLDSTACK_FAKE_LOAD names a JSON file of readings, `{id: [utilisation, used MiB, total MiB]}`.
"""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from foldstack.errors import FoldstackError

FAKE, FAKE_LOAD = "FOLDSTACK_FAKE_GPUS", "FOLDSTACK_FAKE_LOAD"
MIB = 2**20


class Reading(NamedTuple):
    """How busy a GPU is: utilisation from 0 to 1, memory in MiB."""

    utilisation: float
    used: float
    total: float

    def __str__(self) -> str:
        return f"{self.utilisation:.0%} utilisation, {self.used:,.0f} of {self.total:,.0f} MiB in use"


def all_gpus() -> list[str]:
    """UUIDs of the host's GPUs in the order of nvidia-smi; a GPU in MIG mode counts as its slices."""
    if FAKE in os.environ:
        return [name for name in os.environ[FAKE].split(",") if name]
    with _nvml() as nvml:
        if nvml is None:
            return []
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [_text(nvml.nvmlDeviceGetUUID(part)) for handle in handles for part in _mig_slices(nvml, handle)]


def visible_gpus() -> list[str]:
    """UUIDs of the GPUs that this process may use: all, or what CUDA_VISIBLE_DEVICES leaves of them.

    Numbers in CUDA_VISIBLE_DEVICES are taken as nvidia-smi's, which is CUDA's own order under
    CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    found, mask = all_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return found
    chosen: list[str] = []
    for entry in (part.strip() for part in mask.split(",")):
        gpu = _find(entry, found)
        if gpu is None:
            break  # CUDA itself ignores everything after the first entry that it does not know
        chosen.append(gpu)
    return chosen


def choose(wanted: Sequence[int | str] | None, where: str) -> list[str]:
    """The visible GPUs that a list `devices` of the config names, in its order; all for None.

    Args:
        wanted: numbers as nvidia-smi counts, or UUIDs or the start of one.
        where: the key, for the message.

    Raises:
        FoldstackError: no such GPU, or one that CUDA_VISIBLE_DEVICES hides.
    """
    visible = visible_gpus()
    if wanted is None or not visible:  # without any GPU, runs train on the CPU
        return visible
    chosen = []
    for entry in wanted:
        gpu = _find(str(entry), all_gpus())
        if gpu is None:
            raise FoldstackError(f"Config: {where}: there is no GPU {entry!r}; this machine has {_listed(all_gpus())}.")
        if gpu not in visible:
            raise FoldstackError(
                f"Config: {where}: CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']} hides GPU {entry!r}; "
                "change one of the two."
            )
        chosen.append(gpu)
    return list(dict.fromkeys(chosen))


def check(config: dict, limit: int | None) -> None:
    """Raise FoldstackError where a resolved config asks for GPUs that are not there, before anything starts.

    Args:
        limit: that of `--resources gpu=`; None = none given.
    """
    if config["device"] == "cpu":
        return
    if config["device"] == "cuda" and (not visible_gpus() or limit == 0):
        raise FoldstackError(
            "Config: device: cuda, but this machine shows no GPU, or --resources gpu=0 forbids them; use auto or cpu."
        )
    for name, block in config["models"].items():
        found = choose(block["devices"], f"models.{name}.devices") if block["gpus"] else []
        most = len(found) if limit is None else min(len(found), limit)
        if block["gpus"] != "auto" and 0 < most < block["gpus"]:
            raise FoldstackError(
                f"Config: models.{name}.gpus is {block['gpus']}, but it may use {most}: devices and "
                "CUDA_VISIBLE_DEVICES leave "
                f"{len(found)}, --resources gpu= allows {'all' if limit is None else limit}; lower gpus or raise these."
            )


def reading(gpu: str) -> Reading | None:
    """How busy a GPU is now; None where the driver does not say (a MIG slice has no utilisation, so it is 0)."""
    if FAKE in os.environ:
        return _fake_reading(gpu)
    with _nvml() as nvml:
        if nvml is None:
            return None
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(gpu.encode())
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            share = 0 if gpu.startswith("MIG-") else nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except nvml.NVMLError:
            return None
        return Reading(share, memory.used / MIB, memory.total / MIB)


def _find(entry: str, found: list[str]) -> str | None:
    if entry.isdigit():
        return found[int(entry)] if int(entry) < len(found) else None
    return next((name for name in found if entry and name.startswith(entry)), None)


def _listed(found: list[str]) -> str:
    return ", ".join(f"{index} ({name})" for index, name in enumerate(found)) or "none"


def _fake_reading(gpu: str) -> Reading | None:
    try:
        return Reading(*json.loads(Path(os.environ[FAKE_LOAD]).read_text(encoding="utf-8"))[gpu])
    except (KeyError, OSError, ValueError):
        return None


@contextlib.contextmanager
def _nvml():
    """NVML, ready; None where there is no driver or no library."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _mig_slices(nvml, handle) -> list:
    """The MIG slices of a GPU, or the GPU itself."""
    try:
        if nvml.nvmlDeviceGetMigMode(handle)[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return [handle]
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a GPU without MIG
        return [handle]
    slices = []
    for index in range(count):
        with contextlib.suppress(nvml.NVMLError):  # no slice of this number
            slices.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
    return slices


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
