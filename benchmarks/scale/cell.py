"""One cell of the grid: so many classes and samples, through every stage but training, by the real rules' scripts.

Its figures are kept in one JSON file, stage by stage, so that what ended is not measured again. The data are real
JPEGs; predictions are made (made.py), and the networks have fresh weights.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldstack.config import resolve as configuration
from foldstack.runs import RUN_FILES
from scale import job

HERE = Path(__file__).resolve().parent
CODE = HERE.parents[1] / "workflow" / "scripts"
FIGURES = ("render_leaderboard", "plot_confusion", "render_per_class", "plot_calibration", "plot_pareto", "plot_curves")
FIGURES += ("plot_timings", "plot_folds", "plot_data", "plot_duplicates")
FEW = 100  # classes up to which the older stacker is run as a whole


@dataclass(frozen=True)
class Limits:
    """GiB and seconds that a process may take; `before` is that of the older code."""

    memory: float
    seconds: float
    before: float


class Figures(dict):
    """What was measured, in a file that is renewed as each stage ends."""

    def __init__(self, path: Path):
        super().__init__(json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})
        self.path = path

    def keep(self, name: str, measure: Callable[[], dict]) -> dict:
        """`measure()`, unless it is there."""
        if name not in self:
            self[name] = measure()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self, indent=1), encoding="utf-8")
            found = self[name]
            if "seconds" in found:
                words = [f"{found['seconds']:.1f} s", f"{found['peak_mib']:.0f} MiB"]
                words += [f"{word} {found[word]}" for word in ("stopped", "failed") if word in found]
                print(f"{self.path.stem} {name}: {', '.join(words)}", flush=True)
        return self[name]


class Cell:
    """The folders and jobs of one cell."""

    def __init__(
        self,
        work: Path,
        classes: int,
        samples: int,
        models: int,
        folds: int,
        code: Path = CODE,
        architecture: str = "small_cnn",
    ):
        self.classes, self.samples, self.models, self.folds, self.code = classes, samples, models, folds, code
        self.architecture = architecture
        self.name = f"C{classes}-N{samples}"
        self.folder = work / self.name
        self.results = self.folder / ("after" if code == CODE else "before")
        self.figures = Figures(work / "cells" / f"{self.name}.json")
        test = max(classes, samples // 10)
        raw = {
            "experiment": "scale",
            "data": {
                "format": "imagefolder",
                "path": str(self.folder / "images"),
                "test_fraction": test / (samples + test),
            },
            "folds": {"n_splits": folds},
            "training": {"selection": "final"},
            "models": {f"m{i}": {"architecture": architecture} for i in range(models)},
        }
        (self.folder / "images").mkdir(parents=True, exist_ok=True)  # the config's check asks for it
        self.test, self.config = test, configuration.resolve(raw)
        self.members = configuration.members(self.config)

    def inputs(self) -> dict[str, Any]:
        """Every file that some rule reads, by the name that it has there."""
        root, suffix = self.results, Path(RUN_FILES["oof"]).suffix if self.code == CODE else ".parquet"
        names = [f"m{i}" for i in range(self.models)]
        runs = [root / "models" / name / "seed0" / f"fold{fold}" for name in names for fold in range(self.folds)]
        figures = ["leaderboard", "confusion", "calibration", "pareto", "learning_curves", "timings"]
        paths: dict[str, Any] = {
            "samples": root / "data/samples.parquet",
            "pixels": root / "data/pixels.npy",
            "dataset": root / "data/dataset.json",
            "duplicates": root / "data/duplicates.parquet",
            "intake": root / "data/intake.json",
            "folds": root / "folds/folds.parquet",
            "folds_summary": root / "folds/folds.json",
            "oof": [root / "oof" / name / f"seed0{suffix}" for name in names],
            "test": [root / "test" / name / f"seed0{suffix}" for name in names],
            "runs": [run / "run.json" for run in runs],
            "history": [run / "history.csv" for run in runs],
            "weights": [run / "weights.safetensors" for run in runs],
            "models": [root / "export/models" / f"{name}.onnx" for name in names],
            "stacker": root / "stack/stacker.txt",
            "stack": root / "stack/stack.json",
            "stack_oof": root / f"stack/oof{suffix}",
            "stack_test": root / f"stack/test{suffix}",
            "leaderboard": root / "evaluation/leaderboard.csv",
            "metrics": root / "evaluation/metrics.json",
            "factors": [],
            "retrieval": [],
            "stages": [],
            "figures": [
                *(root / "evaluation" / f"{name}.svg" for name in figures),
                root / "folds/folds.svg",
                root / "data/class_counts.svg",
                root / "data/contact_sheet.png",
                root / "data/duplicates.png",
            ],
        }
        return {key: [str(p) for p in path] if isinstance(path, list) else str(path) for key, path in paths.items()}

    def outputs(self, rule: str, **wildcards) -> dict[str, str]:
        root, known = self.results, self.inputs()
        model = wildcards.get("model", "")
        suffix = Path(known["stack_oof"]).suffix
        named = {
            "prepare_data": {key: known[key] for key in ("samples", "pixels", "dataset", "duplicates", "intake")}
            | {"quarantine": root / "data/quarantine.csv"},
            "assign_folds": {"folds": known["folds"], "summary": known["folds_summary"]},
            "collect_oof": {part: root / part / model / f"seed0{suffix}" for part in ("oof", "test")},
            "fit_stacker": {key: known[key] for key in ("stacker", "stack")}
            | {"oof": known["stack_oof"], "test": known["stack_test"]},
            "evaluate": {key: known[key] for key in ("leaderboard", "metrics")}
            | {"summary": root / "evaluation/summary.txt"},
            "render_report": {"report": root / "evaluation/report.html"},
            "trace_model": {
                "graph": root / "export/traces" / f"{model}.onnx",
                "record": root / "export/traces" / f"{model}.json",
            },
            "export_model": {"onnx": root / "export/models" / f"{model}.onnx"},
            "export_ensemble": {"onnx": root / "export/ensemble.onnx"},
            "render_leaderboard": {
                "table": root / "evaluation/leaderboard.html",
                "figure": root / "evaluation/leaderboard.svg",
            },
            "render_per_class": {"table": root / "evaluation/per_class.html"},
            "plot_data": {"counts": root / "data/class_counts.svg", "contact_sheet": root / "data/contact_sheet.png"},
            "plot_duplicates": {"figure": root / "data/duplicates.png"},
            "plot_folds": {"figure": root / "folds/folds.svg"},
            "plot_curves": {"figure": root / "evaluation/learning_curves.svg"},
        }
        plots = ("plot_confusion", "plot_calibration", "plot_pareto", "plot_timings")
        named |= {name: {"figure": root / "evaluation" / f"{name.removeprefix('plot_')}.svg"} for name in plots}
        return {key: str(path) for key, path in named[rule].items()}

    def run(self, rule: str, limits: Limits, config: Any = None, runs: range | None = None, **wildcards) -> dict:
        """One job of a rule, measured; with `runs`, on those folds alone."""
        given = self.inputs()
        if model := wildcards.get("model"):
            given["graph"] = self.outputs("trace_model", model=model)["graph"]
            for key in ("runs", "weights", "history"):
                own = [path for path in given[key] if f"/{model}/" in path]
                given[key] = own if runs is None else own[runs.start : runs.stop]
        params = {"code": [], "config": configuration.canonical(config), "content": "made", "source": "made"}
        params |= {"members": configuration.canonical(self.members), "intake": "made"}
        params |= {"results": str(self.results)}
        log = self.results / "logs" / rule / f"{wildcards.get('model', 'all')}.log"
        outputs = self.outputs(rule, **wildcards)
        for path in outputs.values():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        one = {"input": given, "output": outputs, "params": params, "log": str(log)}
        one |= {"wildcards": {"seed": "0"} | {key: str(value) for key, value in wildcards.items()}}
        seconds = limits.seconds if self.code == CODE else limits.before
        return job.of_rule(self.code, rule, one, limits.memory, seconds)

    def each_model(self, rule: str, limits: Limits, config: Any = None) -> dict:
        """The jobs of all models: seconds and bytes together, the peak of the largest."""
        return together([self.run(rule, limits, config, model=name) for name in self.members])

    def traced(self) -> dict:
        """What decides a network's graph; the same for all models here."""
        return self.config["models"]["m0"]

    def settings(self) -> dict:
        """What the rules take from the config, under all the names by which one of them asks for it."""
        sections = {name: self.config[name] for name in ("data", "folds", "stack", "evaluation")}
        models = {name: configuration.training_slice(self.config, name) | {"seeds": [0]} for name in self.members}
        more = {"experiment": "scale", "models": models, "members": self.members}
        return sections | more | {"near_duplicates": self.config["data"]["near_duplicates"]}


def together(parts: list[dict]) -> dict:
    found: dict[str, Any] = {key: sum(part[key] for part in parts) for key in ("seconds", "cpu", "bytes")}
    found |= {"peak_mib": max(part["peak_mib"] for part in parts), "jobs": len(parts)}
    return found | {word: part[word] for part in parts for word in ("stopped", "failed") if word in part}


def helper(script: str, *arguments) -> None:
    """A program beside this file, unmeasured."""
    subprocess.run([sys.executable, str(HERE / script), *map(str, arguments)], check=True)


def older(today: Cell, code: Path) -> Cell:
    """The same cell for the code of another checkout, in a folder of its own."""
    return Cell(today.folder.parent, today.classes, today.samples, today.models, today.folds, code, today.architecture)


def copy_data(today: Cell, old: Cell) -> None:
    for name in ("data", "folds"):
        shutil.copytree(today.results / name, old.results / name, dirs_exist_ok=True)


def prepare(cell: Cell, limits: Limits) -> None:
    """Images, then data and folds by their rules."""
    if not (cell.results / "data/samples.parquet").exists():
        shutil.rmtree(cell.folder / "images", ignore_errors=True)
        helper("images.py", cell.folder / "images", cell.classes, cell.samples, cell.test)
        cell.figures.clear()  # what was measured stood on files that are gone
    cell.figures.keep("prepare_data", lambda: cell.run("prepare_data", limits, {"data": cell.config["data"]}))
    cell.figures.keep("assign_folds", lambda: cell.run("assign_folds", limits, {"folds": cell.config["folds"]}))


def machine() -> str:
    """The processor, and how many cores of it this process may use."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{usable} of {os.cpu_count()} cores of an {names[0] if names else platform.machine()}"


def measure(cell: Cell, limits: Limits) -> None:
    """All stages of a cell with today's code."""
    keep, settings = cell.figures.keep, cell.settings()
    if "ended" in cell.figures:
        return
    prepare(cell, limits)
    keep("machine", lambda: {"name": machine()})
    if not all(Path(path).exists() for path in cell.inputs()["weights"]):
        helper("made.py", cell.code, cell.results, cell.models)
        helper("weights.py", cell.code, cell.results, "small_cnn", "{}")
    keep("collect_oof", lambda: cell.each_model("collect_oof", limits))
    keep("fit_stacker", lambda: cell.run("fit_stacker", limits, settings))
    keep("evaluate", lambda: cell.run("evaluate", limits, settings))
    keep("figures", lambda: together([cell.run(rule, limits, settings) for rule in FIGURES]))
    keep("render_report", lambda: cell.run("render_report", limits, settings))
    keep("trace_model", lambda: cell.each_model("trace_model", limits, cell.traced()))
    keep("export_model", lambda: cell.each_model("export_model", limits))
    keep("export_ensemble", lambda: cell.run("export_ensemble", limits))
    keep("ended", dict)


def measure_before(today: Cell, code: Path, limits: Limits) -> None:
    """Stack and evaluation of the same cell with the older code."""
    old = older(today, code)
    keep, settings = today.figures.keep, old.settings()
    if "before ended" in today.figures:
        return
    if not (today.results / "data/samples.parquet").exists():
        prepare(today, limits)
    if not all(Path(path).exists() for path in old.inputs()["runs"]):
        copy_data(today, old)
        helper("made.py", code, old.results, old.models, "--digest")
    keep("before collect_oof", lambda: old.each_model("collect_oof", limits))
    if today.classes <= FEW:
        keep("before fit_stacker", lambda: old.run("fit_stacker", limits, settings))
    one_fit = [sys.executable, str(HERE / "before.py"), str(code), str(old.results)]
    if not Path(old.inputs()["stack_test"]).exists():
        for rounds in (1, 3):
            command = [*one_fit, "fit", str(rounds), "5"]
            name = f"before one fit of {rounds} rounds"
            keep(name, lambda command=command: job.measured(command, limits.memory, limits.before))
        keep("before stack tables", lambda: job.measured([*one_fit, "stack"], limits.memory, limits.before))
    if Path(old.inputs()["stack_test"]).exists():
        keep("before evaluate", lambda: old.run("evaluate", limits, settings))
    keep("before ended", dict)
