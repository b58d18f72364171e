"""One whole run at TinyImageNet's size, from a folder of JPEGs to the parity-gated file, by plain `snakemake`.

What each rule took is read from the benchmark files that Snakemake writes.
"""

import contextlib
import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from foldstack.config import resolve as configuration
from foldstack.estimates.experiment import OF_NETWORKS, Estimates
from foldstack.runs import RUN_RULE
from scale import cell, job

CODE = ("Snakefile", "rules", "workflow", "profiles", "config")
EXPERIMENT = "whole"
NO_LIMIT = 1_000_000.0  # GiB, or seconds
LARGE = ("prepare_data", "assign_folds", "collect_oof", "fit_stacker", "evaluate", "render_report")
OF_MODEL = ("trace_model", "export_model", "verify_export")


def config(images: str, train: int, val: int, folds: int, epochs: int) -> dict:
    """Three small networks, one at the stored size and two at half of it; as many test samples as TinyImageNet has."""
    return {
        "experiment": EXPERIMENT,
        "data": {"format": "imagefolder", "path": images, "test_fraction": round(val / (train + val), 6)},
        "folds": {"n_splits": folds},
        "training": {"epochs": epochs, "batch_size": 256, "lr": 0.003, "selection": "final", "augmentation": "none"},
        "models": {
            "cnn": {"architecture": "small_cnn", "options": {"width": 8, "stages": 3}},
            "resnet": {"architecture": "small_resnet", "image_size": 32},
            "vit": {"architecture": "small_vit", "image_size": 32},
        },
    }


def measure(work: Path, root: Path, classes: int, train: int, val: int, folds: int, epochs: int, cores: int) -> None:
    """Fill work/cells/whole.json; the same call goes on where it was stopped."""
    figures, folder = cell.Figures(work / "cells" / "whole.json"), work / "whole"
    if "snakemake" in figures:
        return
    settings = config("images", train, val, folds, epochs)
    checkout(folder, root, settings)
    if not (folder / "images" / "words.txt").exists():  # written last
        shutil.rmtree(folder / "images", ignore_errors=True)
        cell.helper("images.py", folder / "images", classes, train, val)
    figures.keep("config", lambda: settings | {"classes": classes, "train": train, "val": val, "cores": cores})
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--configfile", "config.yaml"]
    traced = [*command[:3], "traces", *command[3:]]
    figures.keep("traces", lambda: job.measured(traced, NO_LIMIT, NO_LIMIT, threads=0, folder=folder))
    figures.keep("estimates", lambda: estimated(folder, settings))
    figures.keep("snakemake", lambda: _snakemake(command, folder))


def estimated(folder: Path, settings: dict) -> dict:
    """What is estimated once networks are traced and none has trained: longest job and most memory of each rule."""
    with contextlib.chdir(folder):
        resolved = configuration.resolve(settings)
        found = Estimates(resolved, Path("results") / EXPERIMENT)
        rules: dict[str, dict] = {}
        for rule in (*LARGE, RUN_RULE, *OF_NETWORKS):
            each = [*resolved["models"]] if rule in (RUN_RULE, *OF_MODEL) else [None]
            seconds, memory = ([f(rule, model) for model in each] for f in (found.seconds, found.memory))
            rules[rule] = {"seconds": max(seconds), "mem_mb": max(memory)}
        return {"rules": rules, "disk": found.disk | {"file": found.file_bytes}}


def checkout(folder: Path, root: Path, settings: dict) -> Path:
    """A copy of the workflow in `folder`, with a config.yaml; results that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        shutil.rmtree(folder / name, ignore_errors=True)
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy2
        copy(root / name, folder / name)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return folder


def _snakemake(command: list[str], folder: Path) -> dict:
    found = job.measured(command, NO_LIMIT, NO_LIMIT, threads=0, folder=folder)
    if "failed" in found:
        raise SystemExit(found["failed"])
    results = folder / "results" / EXPERIMENT
    parity = json.loads((results / "export" / "parity.json").read_text(encoding="utf-8"))
    metrics = json.loads((results / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    places = sorted(path for path in results.iterdir() if path.is_dir())
    return found | {
        "rules": rules(results),
        "bytes": {place.name: job.size_of(place) for place in places},
        "file": job.size_of(results / "export" / "ensemble.onnx"),
        "report": job.size_of(results / "evaluation" / "report.html"),
        "metrics": job.size_of(results / "evaluation" / "metrics.json"),
        "parity": {key: parity[key] for key in ("passed", "max_abs_difference", "label_flips", "samples")},
        "accuracy": {
            name: {part: block[part]["accuracy"] for part in ("oof", "test")}
            for kind in ("model", "blend", "stack")
            for name, block in metrics[kind].items()
        },
    }


def rules(results: Path) -> dict[str, dict]:
    """{rule: jobs, seconds and CPU seconds together, longest, peak_mib} of the rules that keep a benchmark."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob("benchmarks/**/*.tsv")):
        rule = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        with open(path, encoding="utf-8") as stream:
            row = list(csv.DictReader(stream, delimiter="\t"))[-1]
        own = found.setdefault(rule, {"jobs": 0, "seconds": 0.0, "cpu": 0.0, "longest": 0.0, "peak_mib": 0.0})
        numbers = {key: _number(row.get(key)) for key in ("s", "cpu_time", "max_rss")}
        own["jobs"] += 1
        own["seconds"] += numbers["s"]
        own["cpu"] += numbers["cpu_time"]
        own["longest"] = max(own["longest"], numbers["s"])
        own["peak_mib"] = max(own["peak_mib"], numbers["max_rss"])
    return found


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
