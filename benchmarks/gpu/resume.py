"""Training in bfloat16, killed behind its second checkpoint and begun again, against the same run left alone."""

import contextlib
import os
import signal
import time

from project import Project
from torture import wait_for_job

from foldstack.errors import FoldstackError
from gpu import runs
from gpu.check import Attempt

COMPARED = ("weights.safetensors", "oof.arrow", "test.arrow", "history.csv")
# In the check's copy of the workflow; 20 s there would make a long check of it.
BETWEEN_CHECKPOINTS = ("training/checkpoint.py", "SECONDS_BETWEEN = 20.0")
MODEL = {"architecture": "small_resnet", "image_size": 32, "batch_size": 64, "precision": "bfloat16", "epochs": 300}
SMALL = MODEL | {"image_size": 16, "options": {"width": 8}, "epochs": 8}


def check_resume(attempt: Attempt) -> None:
    """See CHECKS in run.py. Whether the bytes are equal is a figure: a "no" is what was measured, not a failure."""
    model = SMALL if attempt.rehearsal else MODEL
    # Nothing in a run depends on its model's name.
    models = dict.fromkeys(("unbroken", "killed", "unbroken_again"), model)
    project = Project(attempt.folder / "project", runs.DIGITS | {"experiment": "resume", "models": models})
    name, old = BETWEEN_CHECKPOINTS
    project.edit(f"workflow/scripts/foldstack/{name}", old, f"SECONDS_BETWEEN = {0.3 if attempt.rehearsal else 2.0}")
    both = [runs.of_model("unbroken"), runs.of_model("killed")]
    _kill_one(project, both)
    runs.complete(project, *both)
    record = runs.record(project, runs.of_model("killed"))
    runs.require_gpu(attempt, record, "bfloat16")
    resumed = next((line for line in runs.log_of(project, "killed") if line.startswith("resumed in epoch")), None)
    if resumed is None:
        raise FoldstackError("The killed run began from the start and not from its checkpoint.")
    attempt.see(device=record["device"], precision=record["precision"], resumed=resumed)
    different = _different(project, "killed")
    attempt.see(same_bytes_as_unbroken=not different, different_files=different)
    if different:  # is it for being resumed?
        runs.complete(project, runs.of_model("unbroken_again"))
        attempt.see(unbroken_twice_gives_the_same_bytes=not _different(project, "unbroken_again"))


def _kill_one(project: Project, targets: list[str]) -> None:
    """Begin all runs, one after another, and kill the job of `killed` as soon as it has its second checkpoint.

    The first may be of its first step, since on a GPU it takes seconds to get there.
    """
    process = runs.start(project, *targets, log="killed.log")
    written: set[int] = set()
    while len(written) < 2:
        if process.poll() is not None:
            runs.finish(project, process, log="killed.log")
            raise FoldstackError(
                "The run ended before its second checkpoint, so it was not killed; give it more epochs."
            )
        with contextlib.suppress(FileNotFoundError):  # the run may end between the two looks
            for path in (project.results / "work" / "checkpoints").glob("killed.*/*/checkpoint.pt"):
                written.add(path.stat().st_mtime_ns)
        time.sleep(0.02)
    job = wait_for_job(process, project.folder, "train_fold")
    if job is None:
        raise FoldstackError("The run ended before it could be killed; give it more epochs.")
    os.kill(job, signal.SIGKILL)
    process.wait()


def _different(project: Project, model: str) -> list[str]:
    """The files of a run that are not the bytes of `unbroken`."""
    left_alone, other = ((project.results / runs.of_model(name)).parent for name in ("unbroken", model))
    return [name for name in COMPARED if (left_alone / name).read_bytes() != (other / name).read_bytes()]
