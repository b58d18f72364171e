"""Which GPU this machine has, by NVML, without torch."""

import os

from foldstack.gpus import inventory

STAND_IN = {"name": "stand-in GPU", "driver": "none", "memory_mib": 0.0}


def first() -> dict | None:
    """`name`, `driver` and `memory_mib` of the first GPU that this process may use; None where there is none."""
    gpus = inventory.visible_gpus()
    if not gpus:
        return None
    if inventory.FAKE in os.environ:
        return STAND_IN
    import pynvml

    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpus[0].encode())
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total / inventory.MIB
        name, driver = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlSystemGetDriverVersion()
    finally:
        pynvml.nvmlShutdown()
    return {"name": _text(name), "driver": _text(driver), "memory_mib": memory}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
