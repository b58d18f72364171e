"""One run: train one model with one seed without one fold, then predict that fold and the test set once."""

import csv
import datetime
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from foldstack import jobs, memory, reuse, seeding, tables
from foldstack.checkpoint import StopSignal, of_run
from foldstack.distributed import Group
from foldstack.errors import FoldstackError
from foldstack.flops import count_flops
from foldstack.folds import split_ids
from foldstack.initial_weights import load_pretrained
from foldstack.loop import Loop
from foldstack.network import Classifier, save_classifier
from foldstack.optimizers import peak_rate
from foldstack.state import State, Subset
from foldstack.text.captions import read_captions
from foldstack.text.ranks import settle

IN_MEMORY_BYTES = 512 * 2**20
STATISTICS_ROWS = 2000
ALONE = Group()
HISTORY = ("epoch", "lr", "train_loss", "inner_loss", "inner_accuracy")


def train_fold(
    *,
    samples,
    pixels,
    dataset,
    folds,
    folds_summary,
    model: str,
    seed: int,
    fold: int,
    config: dict,
    code: list[str],
    outputs: dict,
    work,
    device: str,
    threads: int,
    report: Callable[..., None] | None = None,
    group: Group = ALONE,
    soft_labels: tuple | None = None,
    pretrained=None,
) -> None:
    """Train, predict and write the files of a run (docs/reference/files.md, "runs").

    Args:
        samples, pixels, dataset, folds, folds_summary: paths of samples.parquet, pixels.npy, dataset.json,
            folds.parquet and folds.json.
        config: the model's resolved config.
        code: `path@digest` texts of the code, recorded and part of the checkpoint's name.
        outputs: paths by the names `weights`, `oof`, `test`, `history` and `run`.
        work: folder for checkpoints and for what is kept of finished runs; what is in it is never an output.
        device: "cpu" or "cuda".
        report: called as report(epoch=, epochs=, step=, steps=, train_loss=, inner_accuracy=, images_per_second=,
            seconds_left=), at every epoch's end and at most twice a second in between.
        group: the ranks that do this together, each by a call of its own; rank 0 writes.
        soft_labels: path and method of a table of `members.methods_table` to learn from instead of the labels.
        pretrained: path of the weights that the network starts from, or None.

    Raises:
        FoldstackError: a config that does not fit the protocol or the data, or a run that diverged or does not fit
            into memory.
        SystemExit: 128 + signal after SIGTERM or SIGINT, with a checkpoint written. A signal that comes while the
            outputs are written waits for them.
    """
    started = datetime.datetime.now(datetime.UTC)
    name = f"Model {model}, seed {seed}, fold {fold}"
    _check_selection(name, config)
    _make_deterministic(device, threads)
    info, summary = jobs.read_json(dataset), jobs.read_json(folds_summary)
    if summary["data_digest"] != info["digest"]:
        raise FoldstackError(f"{folds_summary} was made from other data than {dataset}; run the same command again.")
    swaps = config["swap"] or "swap" in config["tta"]
    if swaps and (info["task"] != "pairs" or len(info["classes"]) != 2):
        raise FoldstackError(
            f"{name}: swap is for pairs of two classes, and the data hold {info['task']} of {len(info['classes'])}; "
            "drop it."
        )
    subsets = read_subsets(samples, folds, fold, config["selection"])
    if len(subsets["train"].ids) < 2:
        raise FoldstackError(f"{name} has fewer than two samples to train on; lower n_splits or add data.")
    if soft_labels:
        subsets["train"].soft_labels = tables.soft_labels(*soft_labels, subsets["train"].ids, info["classes"])
    if config.get("captions"):
        part = read_captions(config["captions"], config["text"]["train"] != "frozen", device)
        for subset in subsets.values():
            subset.captions = part(subset.ids)
    decisive = {"code": code, "data": info["digest"], "folds": summary["digest"]}
    identity = reuse.identity(config=config, model=model, seed=seed, fold=fold, **decisive)
    checkpoint, ended = of_run(work, identity)
    if group.leads:
        _sweep(outputs)
    with StopSignal() as stop, memory.named(name, group.size):
        read = open_pixels(pixels, device)
        classifier = _network(name, config, info, seed, fold)
        if pretrained:
            load_pretrained(classifier, pretrained)
        chosen = seeding.statistics_sample(len(subsets["train"].ids), STATISTICS_ROWS, seed, fold)
        classifier.set_statistics(read(subsets["train"].rows[chosen]).cpu())
        classifier.to(device, memory_format=torch.channels_last)  # a tenth to a quarter faster than the default layout
        loop = Loop(
            classifier,
            read,
            subsets["train"],
            subsets["selection"],
            config,
            name=name,
            seed=seed,
            fold=fold,
            checkpoint=checkpoint,
            ended=ended,
            stop=stop,
            report=report,
            group=group,
        )
        state = loop.run()
        ranks = settle(classifier, read, subsets, config["batch_size"])
        if config["temperature"]:
            fitted = _fit_temperature(loop.predict(subsets["selection"].rows), subsets["selection"].labels)
            classifier.spec = classifier.spec | {"temperature": fitted}
        predicted = {key: loop.predict(subsets[key].rows) for key in ("oof", "test")}
        if not group.leads:
            return
        record = {
            "model": model,
            "seed": seed,
            "fold": fold,
            "status": "completed",
            "config": config,
            "code": code,
            "data_digest": info["digest"],
            "folds_digest": summary["digest"],
            "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
            "cards": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
            "threads": threads,
            "precision": str(loop.stepper.precision.dtype).removeprefix("torch."),
            "temperature": classifier.spec.get("temperature"),
            "seconds": round(loop.seconds(), 3),
            "peak_memory_mb": round(_peak_memory(device), 1),
            "versions": jobs.versions(),
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        record |= _digests(subsets) | _figures(state, classifier, read, subsets) | _scale(config, state.world_size)

        save_classifier(classifier, outputs["weights"])
        write_history(state.history, outputs["history"])
        for key, logits in predicted.items():
            write_run_predictions(subsets[key].ids, logits, info["classes"], outputs[key], **ranks.get(key, {}))
        jobs.write_json(outputs["run"], record)
        reuse.keep(work, identity, outputs)
        checkpoint.remove_all()


def _sweep(outputs: dict) -> None:
    """Remove what a process killed while writing may have left beside the outputs."""
    for path in map(Path, outputs.values()):
        for part in path.parent.glob(f".{path.name}.*"):
            part.unlink(missing_ok=True)


def _network(name: str, config: dict, info: dict, seed: int, fold: int) -> Classifier:
    """The network with its initial weights, on the CPU."""
    seeding.seed_weights(seed, fold)
    try:
        classifier = Classifier(_spec(config, info))
    except (FoldstackError, MemoryError):
        raise
    except Exception as error:  # a file of weights that is missing or broken shows in many ways
        raise FoldstackError(
            f"{name}: the architecture {config['architecture']!r} cannot be built with the options "
            f"{config['options']} ({error}); change the options of this model."
        ) from error
    if config["gradient_checkpointing"]:
        classifier.architecture.set_grad_checkpointing()
    _check_finite(classifier, f"{name}: the weights that it starts from are not finite numbers; change its options.")
    return classifier


def _check_finite(classifier: Classifier, message: str) -> None:
    for value in classifier.state_dict().values():
        if not torch.isfinite(value).all():
            raise FoldstackError(message)


def read_subsets(samples, folds, fold: int, selection: str) -> dict[str, Subset]:
    """The run's samples by purpose: `train`, `selection`, `oof` (the held-out fold) and `test`; all joined by id."""
    table = tables.read_samples(samples).set_index("sample_id")
    train, inner, held_out = split_ids(tables.read_folds(folds), fold, selection)
    test = table.index[table["split"] == "test"]
    ids = {"train": train, "selection": inner, "oof": held_out, "test": sorted(test)}
    unknown = sorted(set().union(train, inner, held_out) - set(table.index[table["split"] == "train"]))
    if unknown:
        raise FoldstackError(f"{folds} names {unknown[0]!r}, which is no training sample of {samples}; run again.")
    return {key: _subset(table.loc[list(value)]) for key, value in ids.items()}


def _subset(rows: pd.DataFrame) -> Subset:
    return Subset(
        list(rows.index), rows["row"].to_numpy(np.int64, copy=True), rows["label"].to_numpy(np.int64, copy=True)
    )


def open_pixels(path, device: str) -> Callable[[np.ndarray], torch.Tensor]:
    """A function from rows (N,) int64 to their uint8 pixels on `device`; a small store is held there as a whole."""
    stored = np.load(path, mmap_mode="r", allow_pickle=False)
    if stored.nbytes > IN_MEMORY_BYTES:
        return lambda rows: torch.from_numpy(stored[rows]).to(device)
    held = torch.from_numpy(np.array(stored)).to(device)
    return lambda rows: held[torch.from_numpy(rows).to(device)]


def write_history(history: list[dict], path) -> None:
    """Write history.csv: one row an epoch, no timings, so that equal runs give equal bytes."""
    with jobs.atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, HISTORY, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def write_run_predictions(ids: list[str], logits: np.ndarray, classes: list[str], path, **ranks) -> None:
    """Write logits (N, C) and their softmax by sample id, with the `ranks` of captions where there are captions."""
    tables.write_predictions(tables.predictions(ids, _softmax(logits), logits, classes=classes, **ranks), path, classes)


def _softmax(logits: np.ndarray) -> np.ndarray:
    values = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def _check_selection(name: str, config: dict) -> None:
    if config["selection"] != "final":
        return
    looks = {"early_stopping": config["early_stopping"] is not None, "schedule": config["schedule"] == "plateau"}
    for key, asked in (looks | {"temperature": config["temperature"]}).items():
        if asked:
            raise FoldstackError(
                f"{name}: {key}: {config[key]} needs an inner split; set selection: inner or drop {key}."
            )


def _fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    from foldstack import calibration  # which imports scikit-learn

    return calibration.temperature(labels, _softmax(logits))


def _make_deterministic(device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("warn")  # unlike use_deterministic_algorithms, imports nothing more
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, changes no result
    if device == "cuda":
        torch.backends.cudnn.benchmark = False
        torch.cuda.reset_peak_memory_stats()


def _spec(config: dict, info: dict) -> dict:
    size = config["image_size"] or info["image_size"]
    spec = {
        "architecture": config["architecture"],
        "options": config["options"],
        "image_size": [size, size] if isinstance(size, int) else list(size),
        "store_size": list(info["image_size"]),
        "channels": info["channels"],
        "task": info["task"],
        "classes": list(info["classes"]),
    }
    return spec | ({"tta": config["tta"]} if config["tta"] else {})


def _digests(subsets: dict[str, Subset]) -> dict:
    """Which samples the run saw: digests of ids and counts, by the names of run.json."""
    names = {"train": "train", "selection": "selection", "predicted": "oof"}
    ids = {name: subsets[key].ids for name, key in names.items()}
    digests = {f"{name}_ids": tables.ids_digest(value) if value else None for name, value in ids.items()}
    return digests | {f"n_{name}": len(value) for name, value in ids.items()}


def _figures(state: State, classifier: Classifier, read, subsets: dict[str, Subset]) -> dict:
    return {
        "epochs_run": len(state.history),
        "selected_epoch": state.selected_epoch,
        "micro_batch": state.micro_batch,
        "parameters": sum(parameter.numel() for parameter in classifier.parameters()),
        "flops": count_flops(classifier, read(subsets["train"].rows[:1])),
    }


def _scale(config: dict, world_size: int) -> dict:
    """What the number of cards made of `batch_size` and `lr`."""
    effective = config["batch_size"] * config["accumulate"] * world_size
    return {"world_size": world_size, "effective_batch": effective, "peak_lr": peak_rate(config, world_size)}


def _peak_memory(device: str) -> float:
    """MiB: of the card's allocator, or of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
