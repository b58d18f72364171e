"""The page that training.py writes: speeds, their ratios within a round, and whether they reach the aims."""

import os
import platform
import statistics
from pathlib import Path

import torch

AIMS = {"small": (0.90, 1.5), "resnet18": (0.95, 1.0)}  # on a CPU: share of the ceiling, times timm's loop


def spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def table(case, found: dict[str, list[float]]) -> str:
    """Images/s, and ratios to the ceiling and to timm's loop within each round."""
    lines = [
        f"## {case.architecture}, {case.size} px, batches of {case.batch}\n",
        f"Median (and range) of {len(found['ours'])} rounds of {case.steps} steps; ratios are taken within a round.\n",
        "| | images/s | share of the ceiling | times timm's loop |\n|---|---|---|---|",
    ]
    for name, speeds in found.items():
        shares, times = ratios(found, name)
        lines.append(f"| {name} | {spread(speeds, ',.0f')} | {spread(shares, '.2f')} | {spread(times, '.2f')} |")
    if case.device.type == "cpu" and case.name in AIMS:
        lines.append("\n" + verdict(AIMS[case.name], *ratios(found, "ours")))
    return "\n".join(lines) + "\n"


def ratios(found: dict[str, list[float]], name: str) -> list[list[float]]:
    """A contender's speed over the ceiling's and over that of timm's loop, round by round."""
    return [[a / b for a, b in zip(found[name], found[other], strict=True)] for other in ("ceiling", "timm")]


def verdict(aims: tuple[float, float], shares: list[float], times: list[float]) -> str:
    """Whether the medians of ours reach the aims."""
    said = []
    for what, values, aim in zip(("of the ceiling", "times timm's loop"), (shares, times), aims, strict=True):
        found = statistics.median(values)
        said.append(f"{found:.2f} {what} (aim {aim:.2f}: {'met' if found >= aim else 'missed'})")
    return f"Ours: {', '.join(said)}."


def machine(device: str) -> str:
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, bfloat16"
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{names[0].split(':')[1].strip() if names else platform.machine()}, {os.cpu_count()} cores, float32"
