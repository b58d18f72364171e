"""The demo on the GPU, from images to the exported file, beside the same training on the CPU."""

import copy

import yaml
from project import ROOT, Project

from foldstack import files
from foldstack.errors import FoldstackError
from gpu import runs
from gpu.check import Attempt

FARTHEST = 0.03  # by which a model's OOF accuracy may differ from that on the CPU; its standard error is about 0.005


def check_demo(attempt: Attempt) -> None:
    """See CHECKS in run.py."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text()) | runs.DIGITS
    if attempt.rehearsal:
        config["models"] = {"small_cnn": {"options": {"width": 4}, "epochs": 1}}
        config["evaluation"] = {"bootstrap": 100}
    on_cpu, on_gpu = (_project(attempt, config, device) for device in ("cpu", "cuda"))
    targets = [runs.of_model(model, fold) for model in config["models"] for fold in (0, 1)]
    beside = runs.start(on_cpu, *targets)
    runs.complete(on_gpu, *targets, "export/parity.json")
    _see_runs(attempt, on_gpu, targets)
    _see_export(attempt, on_gpu, config["models"])
    runs.finish(on_cpu, beside)
    accuracies = {model: _accuracies(on_gpu, on_cpu, model) for model in config["models"]}
    attempt.see(oof_accuracy=accuracies)
    for model, found in accuracies.items():
        if abs(found["GPU"] - found["CPU"]) > FARTHEST:
            raise FoldstackError(f"The OOF accuracy of {model} is {found['GPU']:.4f}, on the CPU {found['CPU']:.4f}.")


def _project(attempt: Attempt, config: dict, device: str) -> Project:
    return Project(attempt.folder / device, copy.deepcopy(config) | {"device": device})


def _see_runs(attempt: Attempt, project: Project, targets: list[str]) -> None:
    """Where the runs trained, and how."""
    records = [runs.record(project, target) for target in targets]
    for run in records:
        runs.require_gpu(attempt, run, *(["float32"] if attempt.rehearsal else ["bfloat16", "float16"]))
    attempt.see(
        runs=len(records),
        device=records[0]["device"],
        precision=records[0]["precision"],
        seconds_of_a_run={run["model"]: run["seconds"] for run in records},
        peak_memory_mib={run["model"]: run["peak_memory_mb"] for run in records},
    )


def _see_export(attempt: Attempt, project: Project, models) -> None:
    """What the gates of the export measured."""
    parity = files.read_json(project.results / "export" / "parity.json")
    each = {model: files.read_json(project.results / "export" / "parity" / f"{model}.json") for model in models}
    attempt.see(
        parity_passed=parity["passed"],
        largest_difference_from_its_parts=parity["max_abs_difference"],
        largest_difference_from_the_pipeline=parity["pipeline"]["max_abs_difference"],
        largest_difference_of_onnx_from_the_gpu={
            model: report["pipeline_max_abs_difference"] for model, report in each.items()
        },
        label_flips={model: report["pipeline_label_flips"] for model, report in each.items()},
    )
    if not (parity["passed"] and (project.results / "export" / "ensemble.onnx").stat().st_size):
        raise FoldstackError("The exported file did not pass its gate.")


def _accuracies(on_gpu: Project, on_cpu: Project, model: str) -> dict[str, float]:
    return {"GPU": runs.oof_accuracy(on_gpu, model), "CPU": runs.oof_accuracy(on_cpu, model)}
