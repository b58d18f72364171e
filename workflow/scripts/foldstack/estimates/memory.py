"""How much memory jobs take: of the machine by rule, and of the GPU by run.

The numbers were measured (`make bench-scale`): what a process of the rule takes at least, and what it takes more for
each sample, class and model. Pages of a mapped file count up to MAPPED: the system takes them back when it needs them.
"""

import math
from dataclasses import dataclass

from foldstack.estimates import disk
from foldstack.estimates.facts import Facts

MIB = 2**20
NUMPY, TORCH = 250, 850  # MiB of a process that has imported these and what goes with them
NETWORK_RULES = {  # the same, of the rules that trace, export or check networks
    "trace_model": 1000,
    "export_model": 160,
    "verify_export": 1000,
    "export_ensemble": 270,
    "verify_ensemble": 450,
}
MAPPED = 4 * 2**30
GPU_HOST, CUDA = 4500, 600  # MiB: of a run's process beside its GPU; of a GPU that a process has opened
MARGIN = 1.25  # of what is asked for over what is expected
UNTRACED = 4000  # MiB that a job is given whose network nobody has measured yet
BACKWARD = 1.4  # peak of a training step over what it keeps for its backward pass: 1.2 to 1.9 for nine architectures
HALF = 0.6  # of the activations in 16 bits: sums, norms and losses stay in 32


@dataclass(frozen=True)
class Sizes:
    """What memory depends on: samples, classes, base models, members (model, seed), folds."""

    train: int
    test: int
    classes: int
    models: int
    members: int
    splits: int
    pixel: int  # bytes of a sample

    @classmethod
    def of(cls, config: dict, known: Facts) -> "Sizes":
        members = sum(len(block["seeds"]) for block in config["models"].values())
        pixel = math.prod(known.shape)
        counts = known.train, known.test, max(1, known.classes), len(config["models"]), members
        return cls(*counts, config["folds"]["n_splits"], pixel)


def of_rule(rule: str, sizes: Sizes) -> float:
    """MiB of a job of a rule that loads no network; the rules of DEFAULT have a fixed size."""
    samples, numbers = sizes.train + sizes.test, sizes.train * sizes.classes  # the latter of one table
    tests = sizes.splits * sizes.test * sizes.classes
    more = {
        "prepare_data": 370 * MIB + 1_000 * samples + min(samples * sizes.pixel, MAPPED),
        "assign_folds": 1_500 * samples,
        "collect_oof": 14 * (numbers + tests),
        "fit_stacker": 150 * MIB + 62 * (numbers + tests) + 1_500 * sizes.train * sizes.models,
        "evaluate": 100 * MIB + 74 * numbers,
        "render_report": 70 * MIB + 70 * numbers,
    }
    return NUMPY + more.get(rule, 0) / MIB


def of_network(rule: str, record: dict, networks: int, sizes: Sizes, samples: int) -> float:
    """MiB of a job that traces, exports or checks the `networks` networks of a model, or of all of them.

    Args:
        record: of rule trace_model.
        samples: that a gate compares.
    """
    one, file = disk.network_bytes(record) or 0, networks * (disk.network_bytes(record) or 0)
    held = {
        "trace_model": 4 * one + 2 * record["activation_bytes_per_sample"],
        "export_model": 3 * one,  # the weights go from file to file
        "export_ensemble": 3 * one + file,
        "verify_export": 2 * one + 2 * file,
        "verify_ensemble": 2 * one + 2 * file,
    }[rule]
    return NETWORK_RULES[rule] + (held + samples * (sizes.pixel + 8 * sizes.classes)) / MIB


def of_run(block: dict, record: dict, sizes: Sizes) -> float:
    """MiB of the process of a run that trains on the CPU."""
    batch = block["batch_size"]
    activations = BACKWARD * batch * record["activation_bytes_per_sample"]
    tables = 12 * sizes.classes * (sizes.train / sizes.splits + sizes.test)
    return TORCH + (_parameters(block, record) + activations + tables + 4 * batch * sizes.pixel) / MIB


def of_gpu(block: dict, record: dict, batch: int | None = None) -> float:
    """MiB of the GPU of a run, by arithmetic: weights, gradients, optimizer, activations of a batch.

    Args:
        batch: samples at a time; by default the config's.
    """
    samples = block["batch_size"] if batch is None else batch
    copied = 0 if block["precision"] == "float32" else record["state_bytes"] / 2  # weights in 16 bits
    return CUDA + (_parameters(block, record) + copied + _each(block, record) * samples) / MIB


def batch_that_fits(block: dict, record: dict, gpu: float) -> int:
    """The most samples at a time, a power of two, with which a run fits into so many MiB; 0 where none does."""
    room = 0.92 * gpu - of_gpu(block, record, batch=0)
    most = room * MIB / _each(block, record)
    return 2 ** math.floor(math.log2(most)) if most >= 1 else 0


def asked(expected: float, attempt: int = 1) -> int:
    """MB to ask for where so many MiB are expected; more at each further attempt."""
    return attempt * math.ceil(expected * MARGIN * MIB / 1e6 / 100) * 100


def _each(block: dict, record: dict) -> float:
    """Bytes that each sample of a batch takes of a GPU."""
    share = 1.0 if block["precision"] == "float32" else HALF
    return BACKWARD * share * record["activation_bytes_per_sample"]


def _parameters(block: dict, record: dict) -> float:
    """Bytes of the weights, and of a gradient and the optimizer's numbers for each that is trained."""
    trained = 4 * record["trained_parameters"] * (1 + disk.optimizer_states(block["optimizer"]))
    return record["state_bytes"] * (1 + bool(block["ema_decay"])) + trained
