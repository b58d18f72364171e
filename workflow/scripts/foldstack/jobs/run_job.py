"""A run as a job: reused where this same run has finished before, else trained on the GPUs that it leases.

Imports no torch before the GPUs are leased, since torch must see no others.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from foldstack.estimates import times
from foldstack.files import read_json
from foldstack.gpus.claim import claim
from foldstack.jobs import failed_trace, tensorboard
from foldstack.jobs.failed_run import failure_recorded
from foldstack.jobs.progress import run_reporter
from foldstack.reruns import finished_runs


def run_job(snakemake, run, files, place, train: Callable[[str], None]) -> None:
    """Do the work of the rules train_fold and train_student.

    Args:
        snakemake: the job; its params `gpus` (the plan for `claim`) and, where a failure is to be recorded, `tolerate`.
        run, files, place: Run, RunFiles and Place of training/run.py.
        train: called with "cuda" or "cpu", once the GPUs are leased.
    """
    report = run_reporter(place.progress)
    data, folds = (read_json(path)["digest"] for path in (files.dataset, files.folds_summary))
    kept = finished_runs.restore(place.work, finished_runs.identity(run, data=data, folds=folds), place.outputs)
    if kept is not None:
        print(f"reused: this run finished on {kept['finished']}; nothing to train")
        report(epoch=kept["epochs_run"], epochs=run.config["epochs"], seconds_left=0, reused=True)
        tensorboard.write_history(place.outputs["history"], kept["finished"], place.events)
        return
    print(f"CUDA_VISIBLE_DEVICES as the job found it: {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}")
    tolerate = bool(snakemake.params.get("tolerate"))
    with failure_recorded(run, place.outputs, tolerate=tolerate):
        failed_trace.check(Path(place.work).parent, run.model)
        with _leased(snakemake, run, place, report) as device:
            train(device)


def _leased(snakemake, run, place, report):
    """Lease the run's GPUs, whole ones or a share of one, under a name that is shown to those who wait."""
    plan = json.loads(snakemake.params.gpus)
    results = Path(place.work).parent
    return claim(
        int(snakemake.resources.gpu) or int(snakemake.resources.gpu_share > 0),
        plan,
        memory=times.peak_memory(results, run.model) if plan["share"] > 1 else 0,
        what=f"{run.model} seed {run.seed} fold {run.fold}",
        say=lambda text: (print(text, flush=True), report(waiting=text)),
    )
