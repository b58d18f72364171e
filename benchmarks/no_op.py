"""What a plan and an invocation with nothing to do cost with 500 finished runs (`make bench-noop`).

The data and the folds are real; the outputs of all later jobs are empty files that `snakemake --touch` takes for
finished, since neither command reads what is in them.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CODE = ("Snakefile", "rules", "workflow", "profiles", "config")


def config(models: int, seeds: int, folds: int) -> dict:
    return {
        "experiment": "no-op",
        "folds": {"n_splits": folds},
        "seeds": list(range(seeds)),
        "models": {f"cnn{i:02}": {"architecture": "small_cnn"} for i in range(models)},
    }


def snakemake(folder: Path, *arguments: str) -> tuple[str, float, float, float]:
    """Output, wall seconds, CPU seconds and peak memory (MiB) of one snakemake."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config.yaml", *arguments]
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        output.seek(0)
        text = output.read()
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    return text, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def fabricate(folder: Path, settings: dict) -> None:
    """A checkout in `folder` with every result in place."""
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    snakemake(folder, "--until", "assign_folds")
    plan = snakemake(folder, "-n")[0]
    for line in re.findall(r"^    output: (.*)$", plan, re.MULTILINE):
        for path in line.split(", "):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
    snakemake(folder, "--touch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("models", 10), ("seeds", 10), ("folds", 5), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fabricate(Path(folder), config(options.models, options.seeds, options.folds))
        print(
            f"{options.models * options.seeds * options.folds} finished runs, median (and range) of {options.repeats}"
        )
        print("| command | wall seconds | CPU seconds | peak memory |\n|---|---|---|---|")
        for title, arguments in (("`snakemake -n`", ["-n"]), ("`snakemake`", [])):
            measured = []
            for _ in range(options.repeats):
                text, *figures = snakemake(Path(folder), *arguments)
                assert "Nothing to be done" in text, text[-2000:]
                measured.append(figures)
            wall, cpu, memory = ([row[i] for row in measured] for i in range(3))
            cells = [f"{statistics.median(v):.1f} ({min(v):.1f} to {max(v):.1f})" for v in (wall, cpu)]
            print(f"| {title} | {cells[0]} | {cells[1]} | {statistics.median(memory):.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
