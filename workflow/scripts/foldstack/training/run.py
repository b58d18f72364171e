"""One run: train one model with one seed without one fold, then predict that fold and the test set once."""

import datetime
import os
from collections.abc import Callable

import numpy as np
import torch

from foldstack import files, probabilities, tables
from foldstack.errors import FoldstackError
from foldstack.models.initial_weights import load_pretrained
from foldstack.models.network import Classifier, save_classifier
from foldstack.reruns import finished_runs
from foldstack.training import memory, seeding
from foldstack.training import outputs as run_outputs
from foldstack.training.checkpoint import StopSignal, of_run
from foldstack.training.distributed import Group
from foldstack.training.inputs import open_pixels, read_subsets
from foldstack.training.loop import Loop

STATISTICS_ROWS = 2000
ALONE = Group()


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
    events=None,
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
        events: folder of the run's TensorBoard files, or None.
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
    _set_up_torch(device, threads, config["deterministic"])
    info, summary = files.read_json(dataset), files.read_json(folds_summary)
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
    decisive = {"code": code, "data": info["digest"], "folds": summary["digest"]}
    identity = finished_runs.identity(config=config, model=model, seed=seed, fold=fold, **decisive)
    checkpoint, ended = of_run(work, identity)
    if group.leads:
        run_outputs.sweep(outputs)
    with StopSignal() as stop, memory.named(name, group.size):
        read = open_pixels(pixels, device)
        classifier = _network(name, config, info, seed, fold)
        if pretrained:
            load_pretrained(classifier, pretrained)
        if config.get("captions"):
            captions = classifier.architecture.captions(config["captions"], device)
            for subset in subsets.values():
                subset.captions = captions(subset.ids)
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
            events=events,
            group=group,
        )
        state = loop.run()
        end = getattr(classifier.architecture, "finish", lambda *_: {})
        ranks = end(classifier, read, subsets, config["batch_size"])
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
            "precision": str(loop.stepper.precision.dtype).removeprefix("torch."),
            "seconds": round(loop.seconds(), 3),
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        record |= run_outputs.machine(device, threads) | run_outputs.scale(config, state.world_size)
        record |= run_outputs.digests(subsets)
        record |= run_outputs.figures(state, classifier, read(subsets["train"].rows[:1]))
        save_classifier(classifier, outputs["weights"])
        run_outputs.write_history(state.history, outputs["history"])
        for key, logits in predicted.items():
            run_outputs.write_run_predictions(
                subsets[key].ids, logits, info["classes"], outputs[key], **ranks.get(key, {})
            )
        files.write_json(outputs["run"], record)
        finished_runs.keep(work, identity, outputs)
        checkpoint.remove_all()


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

    return probabilities.temperature(labels, probabilities.softmax(logits))


def _set_up_torch(device: str, threads: int, deterministic: bool) -> None:
    torch.set_num_threads(threads)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, changes no result
    if device == "cuda":
        torch.backends.cudnn.benchmark = not deterministic
        torch.cuda.reset_peak_memory_stats()
    if deterministic or device == "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.set_deterministic_debug_mode("warn")  # unlike use_deterministic_algorithms, imports nothing more


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
