"""A batch that does not fit into the GPU's memory, which goes through in halves."""

import contextlib
import os
from collections.abc import Iterator

from project import Project

from foldstack.errors import FoldstackError
from foldstack.gpus import inventory
from gpu import runs
from gpu.check import Attempt

LEFT_MIB = 4096  # of the GPU's memory, for a run whose whole batch takes 20 GiB or more by its shapes
# One batch of all samples, in memory that grows with the square of the image's side.
MODEL = {"architecture": "small_resnet", "options": {"width": 32}, "image_size": 224, "batch_size": 1024, "epochs": 2}
SMALL = {"architecture": "small_cnn", "options": {"width": 4}, "batch_size": 1024, "epochs": 1}
NEVER_BUSY = {"memory": 1, "utilisation": 1}
# In the check's copy of the workflow; a limit on main memory would not do, since oneDNN fails in many ways without it.
STAND_IN = (
    "workflow/scripts/foldstack/training/memory.py",
    "return compute(size), size",
    "if size > 200:\n                raise torch.OutOfMemoryError('the stand-in GPU is full')\n"
    "            return compute(size), size",
)


def check_halving(attempt: Attempt) -> None:
    """See CHECKS in run.py."""
    os.environ["CUDA_VISIBLE_DEVICES"] = inventory.visible_gpus()[0]  # the run must get the GPU that is filled
    models = dict.fromkeys(("whole", "halved"), SMALL if attempt.rehearsal else MODEL)
    config = {"experiment": "halving", "models": models, "busy": NEVER_BUSY}
    project = Project(attempt.folder / "project", runs.DIGITS | config)
    runs.complete(project, runs.of_model("whole"))
    _see(attempt, project, "whole")
    if attempt.rehearsal:
        project.edit(*STAND_IN)
    with contextlib.nullcontext() if attempt.rehearsal else _filled(attempt):
        runs.complete(project, runs.of_model("halved"))
    if _see(attempt, project, "halved")["micro_batch"] is None:
        raise FoldstackError("The whole batch fitted, so nothing was halved; leave less memory or take a larger image.")


def _see(attempt: Attempt, project: Project, model: str) -> dict:
    record = runs.record(project, runs.of_model(model))
    runs.require_gpu(attempt, record, *(["float32"] if attempt.rehearsal else ["bfloat16", "float16"]))
    log = runs.log_of(project, model)
    figures = {
        "device": record["device"],
        "micro_batch": record["micro_batch"],
        "peak_memory_mib": record["peak_memory_mb"],
        "accuracy_on_its_fold": runs.oof_accuracy(project, model, folds=1),
    }
    attempt.see(**{model: figures}, **{f"{model}_said": [line for line in log if line.startswith("memory ran out")]})
    return record


@contextlib.contextmanager
def _filled(attempt: Attempt) -> Iterator[None]:
    """Hold all but LEFT_MIB of the GPU's free memory."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    ballast = torch.empty(max(0, free - LEFT_MIB * inventory.MIB), dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    attempt.see(filled_mib=len(ballast) / inventory.MIB)
    yield
    del ballast
