"""The fixed cost of a run: what passes between its job's start and end that is neither training nor predicting.

Real runs under Snakemake, one at a time, in a checkout of their own. The job's wall time is Snakemake's own record of
it (start of the script's process to its end), the time of training and predicting is the run's.
"""

import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CODE = ("Snakefile", "rules", "workflow", "profiles", "config")
MODELS = {"small_cnn": {}, "resnet18": {}}  # the second through timm


def measure(repeats: int) -> dict[str, list[float]]:
    """Seconds by model, of `repeats` times two runs on the digits."""
    settings = {"experiment": "fixed", "device": "cpu", "folds": {"n_splits": 2}, "seeds": list(range(repeats))}
    settings |= {"training": {"epochs": 1, "batch_size": 128}, "models": MODELS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in CODE:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copy(ROOT / part, folder / part)
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        runs = [Path("results/fixed/models") / model / f"seed{seed}" for model in MODELS for seed in range(repeats)]
        wanted = [str(run / f"fold{fold}" / "run.json") for run in runs for fold in (0, 1)]
        command = [sys.executable, "-m", "snakemake", *wanted, "--cores", "1", "--quiet", "all"]
        command += ["--configfile", "config.yaml"]
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(command, cwd=folder, env=environment, check=True)
        found: dict[str, list[float]] = {}
        for path in sorted((folder / "results" / "fixed" / "models").rglob("run.json")):
            run = json.loads(path.read_text())
            found.setdefault(run["model"], []).append(_wall(folder, path) - run["seconds"])
    return found


def _wall(folder: Path, output: Path) -> float:
    name = base64.b64encode(str(output.relative_to(folder)).encode()).decode()
    record = json.loads(next((folder / ".snakemake" / "metadata").rglob(name)).read_text())
    return record["endtime"] - record["starttime"]


def section(repeats: int) -> str:
    lines = ["## Fixed cost of a run\n", "| model | seconds: median (and range) | runs |\n|---|---|---|"]
    for model, seconds in measure(repeats).items():
        cell = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
        lines.append(f"| {model} | {cell} | {len(seconds)} |")
    lines.append(
        "\nSeconds of a run's job that are neither training nor predicting: starting Python, imports, reading data, "
        "writing the results. One run at a time, on the CPU, files in the page cache. The aim is 5 s. A job of a timm "
        "model imports timm and with it torchvision; where neither `make setup` nor Python may write compiled files, "
        "a run took about twice as long."
    )
    return "\n".join(lines) + "\n"
