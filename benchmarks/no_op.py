"""What a plan and an invocation with nothing to do cost with 500 and 2,000 finished runs (`make bench-noop`).

The data and the folds are real; the outputs of all later jobs are empty files that `snakemake --touch` takes for
finished, since neither command reads what is in them. Snakemake's records of the jobs are made, too: a plan reads them.
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
TOUCH = """
import sys
from snakemake.cli import main
from snakemake.executors.touch import Executor
touch, Executor.SLEEPING_TIME = Executor.run_job, 0.0
def run_job(self, job):
    touch(self, job)
    self.workflow.async_run(self.workflow.persistence.finished(job))
Executor.run_job = run_job
main()
"""


def config(models: int, seeds: int, folds: int) -> dict:
    return {
        "experiment": "no-op",
        "folds": {"n_splits": folds},
        "seeds": list(range(seeds)),
        "models": {f"cnn{i:02}": {"architecture": "small_cnn"} for i in range(models)},
    }


def snakemake(folder: Path, *arguments: str, by=("-m", "snakemake")) -> tuple[str, float, float, float]:
    """Output, wall seconds, CPU seconds and peak memory (MiB) of one snakemake."""
    command = [sys.executable, *by, "--cores", "2", "--configfile", "config.yaml", *arguments]
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
    snakemake(folder, "--touch", by=("-c", TOUCH))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["10x10x5", "20x20x5"], help="models x seeds x folds")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"| runs | command | wall seconds, median (and range) of {options.repeats} | CPU seconds | peak memory |")
    print("|---|---|---|---|---|", flush=True)
    for size in options.sizes:
        models, seeds, folds = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            fabricate(Path(folder), config(models, seeds, folds))
            for title, arguments in (("`snakemake -n`", ["-n"]), ("`snakemake`", [])):
                print(
                    f"| {models * seeds * folds:,} | {title} | {measured(Path(folder), arguments, options.repeats)} |"
                )


def measured(folder: Path, arguments: list[str], repeats: int) -> str:
    """Cells of a row."""
    found = []
    for _ in range(repeats):
        text, *figures = snakemake(folder, *arguments)
        assert "Nothing to be done" in text, text[-2000:]
        found.append(figures)
    wall, cpu, memory = ([row[i] for row in found] for i in range(3))
    cells = [f"{statistics.median(v):.1f} ({min(v):.1f} to {max(v):.1f})" for v in (wall, cpu)]
    return f"{cells[0]} | {cells[1]} | {statistics.median(memory):.0f} MiB"


if __name__ == "__main__":
    main()
