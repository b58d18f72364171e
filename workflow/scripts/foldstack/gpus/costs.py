"""About how long a run takes: from what an earlier run of the model recorded, else by what it has to go through."""

import json
import math
from pathlib import Path

DEFAULT_SIZE = 224


def of_runs(results: Path, config: dict) -> dict[str, float]:
    """Seconds of one run of each model; only their order counts where no model ran yet.

    A model that never ran is taken to be as slow, by pixel and epoch, as the slowest that did: what may be long starts
    early. Reads at most one run.json a model, so that planning hundreds of runs stays quick.

    Args:
        results: folder of the experiment.
        config: resolved.
    """
    records = {model: recorded(results, model) for model in config["models"]}
    seconds = {
        model: record["seconds"] / record["epochs_run"] * config["models"][model]["epochs"]
        for model, record in records.items()
        if record
    }
    stored = config["data"]["image_size"] or _stored_size(results)
    work = {
        model: _pixels(block["image_size"] or stored) * block["epochs"] for model, block in config["models"].items()
    }
    slowest = max((seconds[model] / work[model] for model in seconds), default=1.0)
    return {model: seconds.get(model, slowest * work[model]) for model in config["models"]}


def _pixels(size: int | list[int]) -> int:
    return size**2 if isinstance(size, int) else math.prod(size)


def _stored_size(results: Path) -> int | list[int]:
    """That of the prepared data, once they are there."""
    try:
        return json.loads((results / "data" / "dataset.json").read_text(encoding="utf-8"))["image_size"]
    except (OSError, ValueError, KeyError):
        return DEFAULT_SIZE


def peak_memory(results: Path, model: str) -> float:
    """MiB that a run of `model` took of its card at most, with a tenth on top; 0 where none was recorded on a card."""
    record = recorded(results, model)
    return record["peak_memory_mb"] * 1.1 if record and record["device"] != "cpu" else 0.0


def recorded(results: Path, model: str) -> dict | None:
    """run.json of one completed run of `model`, whatever its settings were."""
    for path in sorted((results / "models" / model).glob("seed*/fold*/run.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if record.get("status") == "completed" and record["epochs_run"]:
            return record
    return None
