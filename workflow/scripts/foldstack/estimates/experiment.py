"""What one experiment will need: disk, memory, time. Everything else asks here: the rules, explain, the terminal."""

import functools
import math
from pathlib import Path

from foldstack.estimates import disk, facts, memory, times
from foldstack.gpus import inventory
from foldstack.runs import RUN_RULE

RUN_RULES = (RUN_RULE, "check_train_fold")
OF_NETWORKS = ("trace_model", "export_model", "verify_export", "export_ensemble", "verify_ensemble")
RUN_MEMORY, RUN_MINUTES = 16000, 720  # MB and minutes that a run asks for while nothing is known of it
LEAST_MEMORY, LEAST_MINUTES = 1000, 60  # what every job may ask for


class Estimates:
    """Estimates of an experiment as it stands; made anew when more is known.

    Args:
        config: resolved.
        results: folder of the experiment.
        on_gpus: whether runs train on GPUs.

    Attributes:
        facts: the size of the data, or None where nothing is known of it.
        networks: {model: record of rule trace_model, or None}.
    """

    def __init__(self, config: dict, results: Path, on_gpus: bool = False):
        self.config, self.results, self.on_gpus = config, results, on_gpus
        self.facts = facts.of(config, results)
        self.networks = facts.networks(config, results)

    @functools.cached_property
    def sizes(self) -> memory.Sizes | None:
        return memory.Sizes.of(self.config, self.facts) if self.facts else None

    @functools.cached_property
    def disk(self) -> dict[str, int | None]:
        """Bytes by folder below the results; empty where nothing is known."""
        return disk.parts(self.config, self.facts, self.networks) if self.facts else {}

    @property
    def file_bytes(self) -> int | None:
        """Of the exported file."""
        return disk.file_bytes(self.config, self.networks)

    def memory(self, rule: str, model: str | None = None) -> float | None:
        """MiB of a job of the machine's memory; None where it is not known."""
        if self.sizes is None:
            return None
        if rule in RUN_RULES:
            return self._of_run(str(model))
        if rule in OF_NETWORKS:
            largest, count = self._networks(model)
            samples = self.config["export"]["samples"]
            return memory.of_network(rule, largest, count, self.sizes, samples) if largest else None
        return memory.of_rule(rule, self.sizes)

    def seconds(self, rule: str, model: str | None = None) -> float | None:
        """Of a job, by arithmetic alone; None where it is not known, as that of a run on a GPU."""
        if self.sizes is None:
            return None
        if rule in RUN_RULES:
            record = self.networks.get(str(model))
            block = self.config["models"][str(model)]
            return times.of_training(block, record, self.sizes) if record and not self.on_gpus else None
        if rule in OF_NETWORKS:
            largest, count = self._networks(model)
            if not largest:
                return None
            size = count * (disk.network_bytes(largest) or 0)
            return times.of_network(rule, count * largest["flops"], size, self.config["export"]["samples"])
        return times.of_rule(rule, self.sizes)

    def asked_memory(self, rule: str, model: str | None = None, attempt: int = 1) -> int:
        """`mem_mb` of a job."""
        expected = self.memory(rule, model)
        if expected is None:
            return attempt * (RUN_MEMORY if rule in RUN_RULES else memory.UNTRACED)
        return max(LEAST_MEMORY, memory.asked(expected, attempt))

    def asked_minutes(self, rule: str, model: str | None = None, attempt: int = 1) -> int:
        """`runtime` of a job: three times what is expected, since machines differ; that of a run is its longest."""
        expected = self._recorded_seconds(model) if rule in RUN_RULES else None
        expected = expected or self.seconds(rule, model)
        if expected is None:
            return RUN_MINUTES if rule in RUN_RULES else LEAST_MINUTES
        return attempt * max(LEAST_MINUTES, math.ceil(3 * expected / 60))

    def gpu(self, model: str) -> float | None:
        """MiB that a run takes of its GPU; None where the network was not traced."""
        record = self.networks[model]
        return memory.of_gpu(self.config["models"][model], record) if record else None

    def batch_that_fits(self, model: str, gpu: float) -> int | None:
        """The most samples at a time on a GPU of so many MiB."""
        record = self.networks[model]
        return memory.batch_that_fits(self.config["models"][model], record, gpu) if record else None

    def _of_run(self, model: str) -> float | None:
        record, block = self.networks.get(model), self.config["models"][model]
        if self.on_gpus:
            return memory.GPU_HOST + record["state_bytes"] / memory.MIB if record else None
        past = times.recorded(self.results, model)
        if past and past["device"] == "cpu" and past["config"]["batch_size"] == block["batch_size"]:
            return past["peak_memory_mb"]
        return memory.of_run(block, record, self.sizes) if record and self.sizes else None

    def _recorded_seconds(self, model: str | None) -> float | None:
        past = times.recorded(self.results, str(model))
        epochs = self.config["models"][str(model)]["epochs"]
        return past["seconds"] / past["epochs_run"] * epochs if past else None

    def _networks(self, model: str | None) -> tuple[dict | None, int]:
        """The record of the largest network, and how many there are: of one model, or of all."""
        splits, chosen = self.config["folds"]["n_splits"], [model] if model else list(self.networks)
        records = [self.networks[name] for name in chosen]
        if None in records:
            return None, 0
        count = sum(splits * len(self.config["models"][name]["seeds"]) for name in chosen)
        return max(filter(None, records), key=lambda record: record["state_bytes"]), count


def smallest_gpu() -> float | None:
    """MiB of the smallest GPU that this process may use; None without any, or where the driver does not say."""
    found = [inventory.reading(gpu) for gpu in inventory.visible_gpus()]
    return min((reading.total for reading in found if reading), default=None)
