"""How many bytes an experiment will need on disk, by the folder below its results; and whether the disk has them."""

from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.estimates import facts
from foldstack.estimates.facts import Facts

NUMBER = 4  # bytes of a prediction for one (sample, class, member): docs/reference/files.md
METHODS = 6  # ways to combine the models, each with a table
STEPS = {"sgd": 1, "adam": 2, "adamw": 2}  # further numbers that an optimizer keeps for each parameter
OTHERS = 2  # of the optimizers that are not named above
REPORT, CLASS = 2e6, 7e3  # bytes of figures, report and metrics.json: at least, and more for each class
GUESS = 1.25  # what an estimate may be too low by


def parts(config: dict, known: Facts, networks: dict[str, dict | None]) -> dict[str, int | None]:
    """{folder below the results: bytes}; None for what nobody can say before the networks are traced.

    `work` is what checkpoints need while one run of the largest model trains; the runs that are kept there are links.
    """
    splits, size = config["folds"]["n_splits"], NUMBER * known.classes
    members = sum(len(block["seeds"]) for block in config["models"].values())
    weights = {model: network_bytes(record) for model, record in networks.items()}
    runs = {model: len(block["seeds"]) * splits for model, block in config["models"].items()}
    unknown = None in weights.values()
    all_weights = sum(runs[model] * own for model, own in weights.items() if own is not None)
    tables = members * size * (known.train + splits * known.test)
    return {
        "data": known.stored + 200 * known.samples,
        "models": None if unknown else all_weights + tables,
        "oof": members * size * known.train,
        "test": members * size * splits * known.test,
        "stack": METHODS * size * known.samples,
        "export": None if unknown else 2 * all_weights,
        "evaluation": int(REPORT + CLASS * known.classes),
        "work": None if unknown else max(_checkpoint(config["models"][model], own) for model, own in weights.items()),
    }


def file_bytes(config: dict, networks: dict[str, dict | None]) -> int | None:
    """Of export/ensemble.onnx with its weights, without the stacker: all networks; None where one was not traced."""
    sizes = {model: network_bytes(record) for model, record in networks.items()}
    if None in sizes.values():
        return None
    splits = config["folds"]["n_splits"]
    return sum(
        splits * len(block["seeds"]) * (sizes[model] or 0) + splits * len(block["seeds"]) * graph_bytes(networks[model])
        for model, block in config["models"].items()
    )


def network_bytes(record: dict | None) -> int | None:
    """Of one network's weights."""
    return record["state_bytes"] if record else None


def graph_bytes(record: dict | None) -> int:
    return record["graph_bytes"] if record else 0


def optimizer_states(name: str) -> int:
    """Numbers that an optimizer keeps for each parameter."""
    return STEPS.get(name, OTHERS)


def check(results: Path, needed: dict[str, int | None]) -> str:
    """What to be told of the disk; "" where it has room.

    What lies there already counts as done. An estimate is not exact: only what is needed without any doubt stops.

    Raises:
        FoldstackError: the disk cannot hold what is needed without any doubt.
    """
    if not needed:  # nothing is known of the data; the job that reads them says why
        return ""
    free = facts.free_space(results)
    left = {name: max(0, size - _used(results / name)) for name, size in needed.items() if size is not None}
    least, likely = sum(left.values()) - left.get("work", 0), GUESS * sum(left.values())
    largest = max(left, key=lambda name: left[name])
    where = f"results need {gigabytes(least)} more, of them {gigabytes(left[largest])} in {results / largest}/"
    if least > free:
        raise FoldstackError(
            f"The disk cannot hold this experiment: its {where}, but {gigabytes(free)} are free. Free some space, put "
            "results/ on a larger disk, or lower data.image_size, seeds or folds.n_splits; data.store: encoded needs "
            "less where the images are files."
        )
    if likely > free:
        return f"The disk may become full: about {gigabytes(likely)} more are needed, {gigabytes(free)} are free."
    return ""


def gigabytes(size: float) -> str:
    """`1.2 GB`, `340 MB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def _checkpoint(block: dict, weights: int | None) -> int:
    """The last checkpoint of a run and the one that takes its place."""
    copies = 1 + optimizer_states(block["optimizer"]) + bool(block["ema_decay"])
    return 2 * copies * (weights or 0)


def _used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
