"""How well each way to combine the models does, on data sets of different numbers of classes.

The predictions are those of runs that were trained: the digits, CIFAR-10 where its images are given, and the whole run
of 200 classes. Both forms of the LightGBM stack are cross-fitted on the same rows (compare.py).
"""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from scale import cell, whole

FEW_ROWS = 4_000  # on so many rows where a booster a class on all of them would take hours
THREE = {
    "cnn": {"architecture": "small_cnn"},
    "resnet": {"architecture": "small_resnet"},
    "vit": {"architecture": "small_vit"},
}


def measure(work: Path, root: Path, cifar: Path | None, cores: int) -> None:
    """Fill work/cells/scores-*.json."""
    digits = {"data": {"format": "digits"}, "training": {"epochs": 10, "lr": 0.003}}
    digits["models"] = THREE | {"vit": THREE["vit"] | {"image_size": 16}}
    _trained(work, root, "digits", "scikit-learn's digits", digits, cores)
    if cifar:
        images = _unpacked(work, cifar)
        photographs = {"data": {"format": "imagefolder", "path": str(images)}, "folds": {"n_splits": 3}}
        photographs |= {"training": {"epochs": 6, "lr": 0.003, "batch_size": 128}, "models": THREE}
        _trained(work, root, "cifar10", "CIFAR-10", photographs, cores)
    results = work / "whole" / "results" / whole.EXPERIMENT
    if (results / "stack" / "stack.json").exists():
        _compare(work, results, "whole", "the whole run's JPEGs")


def _trained(work: Path, root: Path, name: str, title: str, settings: dict, cores: int) -> None:
    """Train the three networks on a data set, up to their out-of-fold tables, then compare."""
    if (work / "cells" / f"scores-{name}.json").exists():
        return
    folder = whole.checkout(work / "scores" / name, root, {"experiment": name} | settings)
    tables = [f"results/{name}/{part}/{model}/seed0.arrow" for part in ("oof", "test") for model in settings["models"]]
    command = [sys.executable, "-m", "snakemake", *tables, "--cores", str(cores), "--configfile", "config.yaml"]
    subprocess.run(command, cwd=folder, check=True)
    _compare(work, folder / "results" / name, name, title)


def _compare(work: Path, results: Path, name: str, title: str) -> None:
    path = work / "cells" / f"scores-{name}.json"
    if not path.exists():
        cell.helper("compare.py", cell.CODE, results, FEW_ROWS, path, title)


def _unpacked(work: Path, archive: Path) -> Path:
    """The folder of class folders, or of train/ and test/, in an archive of images (or the folder that is given)."""
    if archive.is_dir():
        return archive.resolve()
    folder = work / "scores" / "images"
    if not (folder / "unpacked").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (folder / "unpacked").touch()
    place = folder
    while len(inside := [path for path in place.iterdir() if path.is_dir()]) == 1:
        place = inside[0]
    return place.resolve()
