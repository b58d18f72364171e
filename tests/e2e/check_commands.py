"""`make commands`: every documented command and make target, in a reduced form, in one copy of the project.

Not a part of `make test`, hence the name: it takes half an hour. The rows are in tests/helpers/documented_commands.py,
in the order in which they run; most need what `make demo` before them left (-k "demo or verify" for one of them).
"""

import csv
import functools
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from documented_commands import ROWS
from PIL import Image
from project import ROOT, Project
from sklearn.datasets import load_digits

from foldstack.files import sha256_of

DEMO = {
    "experiment": "digits",
    "data": {"format": "digits"},
    "folds": {"n_splits": 2},
    "training": {"epochs": 1, "batch_size": 128},
    "models": {"cnn": {"architecture": "small_cnn", "options": {"width": 4}}, "vit": {"architecture": "small_vit"}},
    "stack": {"n_estimators": 10},
    "evaluation": {"bootstrap": 100},
    "predict": {"path": "config/examples/new-digits"},
}
MINE = DEMO | {"experiment": "my", "models": {"cnn": DEMO["models"]["cnn"]}}
BESIDE = (
    "Makefile",
    "predict.py",
    "pyproject.toml",
    "README.md",
    "CONTRIBUTING.md",
    "docs",
    "benchmarks",
    "tests",
    "envs",
)
LIMIT = 1800  # seconds of a command


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project with a small demo, a config of one's own, and the images that the commands name."""
    made = Project(tmp_path_factory.mktemp("commands") / "project", DEMO)
    for name in BESIDE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, made.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, made.folder / name)
    (made.folder / ".venv").symlink_to(ROOT / ".venv")
    os.utime(made.folder / "envs" / "requirements.txt", (0, 0))  # the environment is there, and is not to be renewed
    (made.folder / "config" / "config.yaml").write_text(yaml.safe_dump(DEMO))
    (made.folder / "my.yaml").write_text(yaml.safe_dump(MINE))
    write_images(made.folder)
    return made


def write_images(folder):
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels.reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    np.savez(folder / "test.npz", x=pixels[:20])
    np.savez(folder / "digits.npz", x=pixels, y=labels)
    shutil.copytree(folder / "config" / "examples" / "new-digits", folder / "photos")
    (folder / "more").mkdir()
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        name = f"{label}/{number}.png"
        for path in [folder / "digits" / "train" / name, *([folder / "labelled" / name] if number < 100 else [])]:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        if number < 3:
            Image.fromarray(image).save(folder / "more" / f"{number}.jpg")
    with open(folder / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([["path"], *([path.relative_to(folder)] for path in folder.glob("photos/*.png"))])


@functools.cache
def missing(need: str) -> str:
    """Why a command that needs it cannot run here; "" if it can."""
    if need == "npm":
        return "" if shutil.which("npm") else "npm is not installed"
    if need == "registry":
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-cache", "-"]
        done = subprocess.run(command, input="iniconfig", capture_output=True, text=True, timeout=120, check=False)
        return f"no package registry answers: {done.stderr.strip()[-300:]}" if done.returncode else ""
    return ""


def digests() -> dict[str, str]:
    return {path.relative_to(ROOT).as_posix(): sha256_of(path) for path in (ROOT / "docs").rglob("*") if path.is_file()}


BEFORE = digests()


@pytest.mark.parametrize("row", [row for row in ROWS if row.check], ids=lambda row: row.name)
def test_the_command_runs(row, copy):
    if why := missing(row.needs):
        pytest.skip(why)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", row.check],
        cwd=copy.folder,
        env=copy.environment({"PYTEST_CURRENT_TEST": None}),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"{row.check}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def test_nothing_was_written_into_the_docs():
    assert digests() == BEFORE
