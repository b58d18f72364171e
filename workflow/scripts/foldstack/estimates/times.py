"""About how long jobs take: from what earlier ones recorded, else by how much there is to do.

Answers of different price: `of_runs` orders the runs when they are planned and reads one record a model; `Timings`
knows how long everything took, and reads every record; `of_rule`, `of_network` and `of_training` are arithmetic with
speeds that were measured on one machine (docs/benchmarks/scale.md), so a faster or busier one differs.
"""

import csv
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path

from foldstack.estimates.memory import Sizes
from foldstack.runs import RUN_RULE, run_records

DEFAULT_SIZE = 224
START, TORCH_START = 1.5, 4.5  # seconds until a job without and with torch begins its work
SPEED = 60e9  # flops of training or prediction in a second of one CPU thread: 35 to 100 for nine networks
BACKWARD = 3  # a training step over a prediction
TRACE = 2.5  # seconds to trace a small network and write it
# Up to so many classes, and rows × models × classes², LightGBM has trees for each class (ensemble/stacking.py).
PER_CLASS, PER_CLASS_CELLS = 50, 200_000_000
WRITE = 300e6  # bytes of an ONNX file in a second, with the look at it


def of_runs(results: Path, config: dict) -> dict[str, float]:
    """Seconds of one run of each model; only their order counts where no model ran yet.

    A model that never ran is taken to be as slow, by pixel and epoch, as the slowest that did: what may be long starts
    early. Reads at most one run.json a model, so that planning hundreds of runs stays quick.

    Args:
        results: folder of the experiment.
        config: resolved.
    """
    records = {model: recorded(results, model) for model in config["models"]}
    seconds = {model: _epoch(record) * config["models"][model]["epochs"] for model, record in records.items() if record}
    stored = config["data"]["image_size"] or _stored_size(results)
    work = {
        model: _pixels(block["image_size"] or stored) * block["epochs"] for model, block in config["models"].items()
    }
    slowest = max((seconds[model] / work[model] for model in seconds), default=1.0)
    return {model: seconds.get(model, slowest * work[model]) for model in config["models"]}


def _pixels(size: int | list[int]) -> int:
    return size**2 if isinstance(size, int) else math.prod(size)


def _stored_size(results: Path) -> int | list[int]:
    """The image size of the prepared data, once they exist."""
    try:
        return json.loads((results / "data" / "dataset.json").read_text(encoding="utf-8"))["image_size"]
    except (OSError, ValueError, KeyError):
        return DEFAULT_SIZE


def peak_memory(results: Path, model: str) -> float:
    """MiB that a run of `model` took of its GPU at most, plus 10 %; 0 where none was recorded on a GPU."""
    record = recorded(results, model)
    return record["peak_memory_mb"] * 1.1 if record and record["device"] != "cpu" else 0.0


def recorded(results: Path, model: str) -> dict | None:
    """run.json of one completed run of `model`, whatever its settings were."""
    return next((record for _, record in _completed(results, model)), None)


def of_rule(rule: str, sizes: Sizes) -> float:
    """Seconds of a job of a rule that loads no network."""
    samples, numbers = sizes.train + sizes.test, sizes.train * sizes.classes
    cells = numbers * sizes.models * sizes.classes
    per_class = sizes.classes <= PER_CLASS and cells <= PER_CLASS_CELLS
    shared = sizes.models * (9e-5 * sizes.train + 4.6e-7 * numbers)
    more = {
        "prepare_data": samples * (3e-4 + 8e-8 * sizes.pixel),
        "assign_folds": 3e-5 * samples,
        "collect_oof": 2e-8 * numbers,
        "fit_stacker": 4e-6 * cells if per_class else shared,
        "evaluate": 2.0 + 3.2e-7 * numbers * sizes.models,
        "render_report": 1.0 + 1.6e-7 * numbers,
    }
    return START + more.get(rule, 0.0)


def of_network(rule: str, flops: float, size: float, samples: int) -> float:
    """Seconds of a job that traces, exports or checks networks of `size` bytes in all and `flops` a sample."""
    start = TORCH_START if rule in ("trace_model", "verify_export") else START
    checks = {"verify_export": 2, "verify_ensemble": 3}.get(rule, 0)
    return start + TRACE * (rule == "trace_model") + size / WRITE + checks * samples * flops / SPEED


def of_training(block: dict, record: dict, sizes: Sizes) -> float:
    """Seconds of a run on the CPU, by the flops of its network (record of rule trace_model)."""
    trained = sizes.train * (1 - 1 / sizes.splits) * block["epochs"] * BACKWARD
    predicted = sizes.train / sizes.splits + sizes.test
    return TORCH_START + record["flops"] * (trained + predicted) / (SPEED * block["threads"])


class Timings:
    """Seconds that the jobs of earlier invocations took.

    Args:
        results: folder of the experiment.

    Attributes:
        runs: {model: `start` (all but the epochs) and `epoch` of each completed run}.
        others: {rule: mean over its jobs}, of the rules that keep a benchmark.
    """

    def __init__(self, results: Path):
        self.runs: dict[str, list[dict]] = {}
        for path, record in _completed(results, "*"):
            own = results / "benchmarks" / RUN_RULE / path.parent.relative_to(results / "models")
            whole = _benchmark(own.with_suffix(".tsv")) or record["seconds"]
            # A resumed run's benchmark holds its last attempt only.
            start = max(0.0, whole - record["seconds"])
            self.runs.setdefault(record["model"], []).append({"start": start, "epoch": _epoch(record)})
        by_rule: dict[str, list] = {}
        for path in sorted(results.glob("benchmarks/**/*.tsv")):
            rule = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
            by_rule.setdefault(rule, []).append(_benchmark(path))
        self.others = {
            rule: statistics.mean(filter(None, seconds)) for rule, seconds in by_rule.items() if any(seconds)
        }

    def of_run(self, model: str, epochs: int) -> float | None:
        """Seconds of a run of `epochs` epochs; of a model that never ran, the mean over the models that did."""
        known = [self.runs[model]] if model in self.runs else list(self.runs.values())
        if not known:
            return None
        parts = {
            key: statistics.mean(statistics.mean(run[key] for run in runs) for runs in known)
            for key in ("start", "epoch")
        }
        return parts["start"] + epochs * parts["epoch"]


def _completed(results: Path, model: str) -> Iterator[tuple[Path, dict]]:
    """(path, content) of each run.json of a completed run of `model`, or of all models for `*`."""
    for path in run_records(results, model):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if record.get("status") == "completed" and record["epochs_run"]:
            yield path, record


def _epoch(record: dict) -> float:
    """Seconds of one epoch."""
    return record["seconds"] / record["epochs_run"]


def _benchmark(path: Path) -> float | None:
    """Seconds that Snakemake measured for a job; None where there is no such file, or a damaged one."""
    try:
        with open(path, encoding="utf-8") as stream:
            return statistics.mean(float(row["s"]) for row in csv.DictReader(stream, delimiter="\t"))
    except (OSError, ValueError, KeyError):
        return None
