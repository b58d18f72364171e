"""The estimates in lines for people."""

import logging
from collections.abc import Callable

from foldstack.estimates import disk, facts
from foldstack.estimates.experiment import Estimates

LATER = "not known yet"
TRACES = f"{LATER}; `snakemake traces` finds out"


def in_short(found: Estimates) -> list[str]:
    """What `snakemake -n` says: the need of disk and the size of the exported file."""
    if not found.disk:
        return [f"Disk: {LATER}, before the data are read."]
    free = disk.gigabytes(facts.free_space(found.results))
    return [f"Disk: {_disk(found)}; {free} free. Exported file: {_file(found)}."]


def in_full(found: Estimates, gpu: float | None, side_by_side: int) -> list[tuple[str, str]]:
    """What explain says, as (what, how much); time is said by itself.

    Args:
        gpu: MiB of the smallest GPU, or None.
        side_by_side: runs at a time.
    """
    if found.facts is None:
        return [("disk, memory", f"{LATER}, before the data are read")]
    parts = {name: size for name, size in found.disk.items() if size}
    largest = sorted(parts, key=lambda name: -parts[name])[:3]
    named = ", ".join(f"{name}/ {disk.gigabytes(parts[name])}" for name in largest)
    free = disk.gigabytes(facts.free_space(found.results))
    rows = [("disk", f"{_disk(found)} ({named}); {free} free"), ("memory", _memory(found, side_by_side))]
    rows += [(f"GPU, {model}", _gpu(found, model, gpu)) for model in found.config["models"] if gpu]
    return [*rows, ("exported file", _file(found))]


class UnderThePlan(logging.Filter):
    """Adds lines to the table of jobs that Snakemake logs before it runs anything, or instead."""

    def __init__(self, lines: Callable[[], list[str]]):
        super().__init__()
        self.lines = lines

    def filter(self, record: logging.LogRecord) -> bool:
        if str(getattr(record, "event", "") or "") == "run_info":
            record.msg = "\n".join([str(record.msg).rstrip("\n"), "", *self.lines(), ""])
        return True


def _disk(found: Estimates) -> str:
    text = f"about {disk.gigabytes(sum(size or 0 for size in found.disk.values()))}"
    unknown = [name for name, size in found.disk.items() if size is None]
    return text + (" and the networks' weights, which are not known yet" if unknown else "")


def _file(found: Estimates) -> str:
    size = found.file_bytes
    if size is None:
        return TRACES
    beside = ", its weights beside it in a second one" if size > 2**31 - 1 else ""
    return f"about {disk.gigabytes(size)}{beside}"


def _memory(found: Estimates, side_by_side: int) -> str:
    models = found.config["models"]
    runs = {model: size for model in models if (size := found.memory("train_fold", model))}
    rules = ("prepare_data", "fit_stacker", "evaluate", "export_ensemble")
    stages = {rule: found.memory(rule) or 0 for rule in rules}
    most = max(stages, key=lambda rule: stages[rule])
    text = f"{most} {_gib(stages[most])}"
    if not runs:
        return f"{text}; runs: {TRACES}"
    largest = max(runs, key=lambda model: runs[model])
    together = f", {side_by_side} at a time {_gib(side_by_side * runs[largest])}" if side_by_side > 1 else ""
    return f"a run of {largest} {_gib(runs[largest])}{together}; {text}"


def _gpu(found: Estimates, model: str, gpu: float) -> str:
    need, fits = found.gpu(model), found.batch_that_fits(model, gpu)
    if need is None or fits is None:
        return TRACES
    batch = found.config["models"][model]["batch_size"]
    text = f"{_gib(need)} of {_gib(gpu)} with batch_size {batch}"
    if need <= 0.92 * gpu:
        return f"{text}; up to {fits} fit"
    return f"{text}: too much, about {fits} fit; batches are halved until they do"


def _gib(mebibytes: float) -> str:
    return f"{mebibytes / 1024:.1f} GiB"
