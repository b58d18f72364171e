"""One run: train one model with one seed on all folds but one, then predict that fold and the test split once."""

import datetime
import os
from collections.abc import Callable

import torch

from foldstack import probabilities, tables
from foldstack.errors import FoldstackError
from foldstack.files import read_json, write_json
from foldstack.folds.digest import check_folds
from foldstack.models.initial_weights import load_pretrained
from foldstack.models.network import Classifier, save_classifier, spec_of
from foldstack.reruns import finished_runs
from foldstack.training import memory, outputs, seeding
from foldstack.training.checkpoint import StopSignal, of_run
from foldstack.training.distributed import Group
from foldstack.training.inputs import open_pixels, read_subsets
from foldstack.training.loop import Loop
from foldstack.training.run import Place, Run, RunFiles
from foldstack.training.state import Data, Subset

STATISTICS_ROWS = 2000
SINGLE_PROCESS = Group()


def train_fold(
    run: Run,
    files: RunFiles,
    place: Place,
    *,
    device: str,
    report: Callable[..., None] | None = None,
    group: Group = SINGLE_PROCESS,
) -> None:
    """Train, predict and write the files of a run (docs/reference/files.md, "runs").

    Args:
        device: "cpu" or "cuda".
        report: called as report(epoch=, epochs=, step=, steps=, train_loss=, inner_accuracy=, images_per_second=,
            seconds_left=), at every epoch's end and at most twice a second in between.
        group: the ranks that do this together, each by a call of its own; rank 0 writes.

    Raises:
        FoldstackError: a config that does not fit the protocol or the data, or a run that diverged or does not fit
            into memory.
        SystemExit: 128 + signal after SIGTERM or SIGINT, with a checkpoint written. A signal that comes while the
            outputs are written waits for them.
    """
    started = datetime.datetime.now(datetime.UTC)
    config = run.config
    _check_selection(run)
    threads = max(1, config["threads"] // group.size)
    _set_up_torch(device, threads, config["deterministic"])
    info, summary = read_json(files.dataset), read_json(files.folds_summary)
    check_folds(summary, info)
    _check_swap(run, info)
    subsets = _subsets(run, files, info)
    identity = finished_runs.identity(run, data=info["digest"], folds=summary["digest"])
    checkpoints = of_run(place.work, identity)
    if group.is_main:
        outputs.sweep(place.outputs)
    with StopSignal() as stop, memory.report_out_of_memory(str(run), group.size):
        read = open_pixels(files.pixels, device)
        classifier = _network(run, info, files.pretrained)
        if config.get("captions"):
            captions = classifier.architecture.captions(config["captions"], device)
            for subset in subsets.values():
                subset.captions = captions(subset.ids)
        chosen = seeding.statistics_sample(len(subsets["train"].ids), STATISTICS_ROWS, run.seed, run.fold)
        classifier.set_statistics(read(subsets["train"].rows[chosen]).cpu())
        # A tenth to a quarter faster than the default layout. The stubs lack this pair of arguments.
        classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        data = Data(read, subsets["train"], subsets["selection"])
        loop = Loop(run, classifier, data, checkpoints, stop=stop, group=group, report=report, events=place.events)
        state = loop.run_to_end()
        end: Callable[..., dict] = getattr(classifier.architecture, "finish", lambda *_: {})
        ranks = end(classifier, read, subsets, config["batch_size"])
        if config["temperature"]:
            logits = loop.predict(subsets["selection"].rows)
            fitted = probabilities.temperature(subsets["selection"].labels, probabilities.softmax(logits))
            classifier.spec = classifier.spec | {"temperature": fitted}
        predicted = {key: loop.predict(subsets[key].rows) for key in ("oof", "test")}
        if not group.is_main:
            return
        record = outputs.described(run, info, summary, subsets, state, classifier, read)
        record |= outputs.machine(device, threads, loop.stepper.precision.dtype)
        record |= outputs.times(started, loop.seconds())
        save_classifier(classifier, place.outputs["weights"])
        outputs.write_history(state.history, place.outputs["history"])
        for key, logits in predicted.items():
            outputs.write_run_predictions(
                subsets[key].ids, logits, info["classes"], place.outputs[key], **ranks.get(key, {})
            )
        write_json(place.outputs["run"], record)
        finished_runs.keep(place.work, identity, place.outputs)
        checkpoints.current.remove_all()


def _subsets(run: Run, files: RunFiles, info: dict) -> dict[str, Subset]:
    subsets = read_subsets(files.samples, files.folds, run.fold, run.config["selection"])
    if len(subsets["train"].ids) < 2:
        raise FoldstackError(f"{run} has fewer than two samples to train on; lower n_splits or add data.")
    if files.soft_labels:
        subsets["train"].soft_labels = tables.soft_labels(*files.soft_labels, subsets["train"].ids, info["classes"])
    return subsets


def _network(run: Run, info: dict, pretrained: str | None) -> Classifier:
    """The network with its initial weights, on the CPU."""
    config = run.config
    seeding.seed_weights(run.seed, run.fold)
    try:
        classifier = Classifier(spec_of(config, info))
    except (FoldstackError, MemoryError):
        raise
    except Exception as error:  # a missing or broken file of weights raises many kinds of errors
        raise FoldstackError(
            f"{run}: the architecture {config['architecture']!r} cannot be built with the options "
            f"{config['options']} ({error}); change the options of this model."
        ) from error
    if config["gradient_checkpointing"]:
        classifier.architecture.set_grad_checkpointing()
    if pretrained:
        load_pretrained(classifier, pretrained)
    remedy = "correct pretrained" if pretrained else "change its options"
    _check_finite(classifier, f"{run}: the weights that it starts from are not finite numbers; {remedy}.")
    return classifier


def _check_finite(classifier: Classifier, message: str) -> None:
    for value in classifier.state_dict().values():
        if not torch.isfinite(value).all():
            raise FoldstackError(message)


def _check_swap(run: Run, info: dict) -> None:
    swaps = run.config["swap"] or "swap" in run.config["tta"]
    if swaps and (info["task"] != "pairs" or len(info["classes"]) != 2):
        raise FoldstackError(
            f"{run}: swap is for pairs of two classes, and the data hold {info['task']} of {len(info['classes'])}; "
            "drop it."
        )


def _check_selection(run: Run) -> None:
    config = run.config
    if config["selection"] != "final":
        return
    looks = {"early_stopping": config["early_stopping"] is not None, "schedule": config["schedule"] == "plateau"}
    for key, asked in (looks | {"temperature": config["temperature"]}).items():
        if asked:
            raise FoldstackError(
                f"{run}: {key}: {config[key]} needs an inner split; set selection: inner or drop {key}."
            )


def _set_up_torch(device: str, threads: int, deterministic: bool) -> None:
    torch.set_num_threads(threads)
    # Costs time, changes no result. A module that puts another class in its place, which the stubs do not know.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device == "cuda":
        torch.backends.cudnn.benchmark = not deterministic
        torch.cuda.reset_peak_memory_stats()
    if deterministic or device == "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.set_deterministic_debug_mode("warn")  # unlike use_deterministic_algorithms, imports nothing more
