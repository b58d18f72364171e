"""60 runs of very different lengths on four stand-in GPUs: this project's way against round robin and the lower bound.

    make bench-makespan     writes docs/benchmarks/makespan.md

Runs are stand-ins that sleep while they hold a GPU. No order can end before the longest run does, nor before a quarter
of all the seconds; that is the bound. Round robin is what the scripts with `GPUS=(0 1 2 3)` do: run i goes to GPU
i mod 4, whatever is still going on there.
"""

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GPUS = ["A", "B", "C", "D"]
MODELS, FOLDS, SPREAD = 12, 5, 1.0  # sigma of the logarithm
SNAKEFILE = """
import json
LENGTHS = json.load(open("lengths.json"))

rule all:
    input: expand("done/{run}", run=range(len(LENGTHS)))

rule run:
    output: touch("done/{run}")
    priority: lambda wildcards: LENGTHS[int(wildcards.run)] * LONGEST_FIRST
    resources: gpu=1
    params: seconds=lambda wildcards: LENGTHS[int(wildcards.run)]
    shell: "{PYTHON} stand_in.py {params.seconds} 1 {wildcards.run}"
"""
STAND_IN = """
import sys, time
sys.path.insert(0, SCRIPTS)
from foldstack.gpus.claim import claim
seconds, GPUs, run = sys.argv[1:]
with claim(int(GPUs)):
    started = time.time()
    time.sleep(float(seconds))
    with open("times/" + run, "w") as stream:
        stream.write(f"{started} {time.time()}")
"""


def lengths(seed: int, median: float) -> list[float]:
    """Seconds of 12 models x 5 folds: models differ by a log-normal factor, folds of a model by a tenth."""
    rng = random.Random(seed)
    models = [median * rng.lognormvariate(0, SPREAD) for _ in range(MODELS)]
    return [round(model * rng.uniform(0.95, 1.05), 2) for model in models for _ in range(FOLDS)]


@contextlib.contextmanager
def workplace():
    """A folder with the stand-in and a place for when each run started and ended."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "times").mkdir()
        (folder / "stand_in.py").write_text(f"SCRIPTS = {str(ROOT / 'workflow' / 'scripts')!r}\n" + STAND_IN)
        yield folder


def makespan(folder: Path) -> float:
    """Seconds from the start of the first run to the end of the last."""
    times = [path.read_text().split() for path in (folder / "times").iterdir()]
    assert len(times) == MODELS * FOLDS
    return max(float(ended) for _, ended in times) - min(float(started) for started, _ in times)


def with_snakemake(seconds: list[float], longest_first: bool) -> float:
    """One `snakemake --resources gpu=4` with leases."""
    with workplace() as folder:
        constants = f"LONGEST_FIRST = {int(longest_first)}\nPYTHON = {sys.executable!r}\n"
        (folder / "Snakefile").write_text(constants + SNAKEFILE)
        (folder / "lengths.json").write_text(str(seconds))
        environment = os.environ | {"FOLDSTACK_FAKE_GPUS": ",".join(GPUS), "FOLDSTACK_LEASES": f"{folder}/leases"}
        command = [sys.executable, "-m", "snakemake", "--cores", "16", "--resources", f"gpu={len(GPUS)}"]
        command += ["--scheduler", "greedy", "--nolock", "--quiet", "all"]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        return makespan(folder)


def round_robin(seconds: list[float]) -> float:
    """One loop a GPU, each through its own runs."""
    with workplace() as folder:

        def loop(gpu: int) -> None:
            for run in range(gpu, len(seconds), len(GPUS)):
                command = [sys.executable, "stand_in.py", str(seconds[run]), "0", str(run)]
                subprocess.run(command, cwd=folder, check=True)

        threads = [threading.Thread(target=loop, args=(gpu,)) for gpu in range(len(GPUS))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return makespan(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=3, help="of run lengths")
    parser.add_argument("--median", type=float, default=2.5, help="seconds of a run")
    options = parser.parse_args()
    ways = {
        "longest first, leased GPUs": lambda seconds: with_snakemake(seconds, True),
        "Snakemake's own order, leased GPUs": lambda seconds: with_snakemake(seconds, False),
        "round robin": round_robin,
    }
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    bounds = []
    for seed in range(options.sets):
        seconds = lengths(seed, options.median)
        bounds.append(max(max(seconds), sum(seconds) / len(GPUS)))
        for way, run in ways.items():
            ratios[way].append(run(seconds) / bounds[-1])
            print(f"lengths {seed}: {way}: {ratios[way][-1]:.3f} x the bound of {bounds[-1]:.1f} s", flush=True)
    rows = "\n".join(
        f"| {way} | {statistics.median(found):.2f} | {min(found):.2f} to {max(found):.2f} |"
        for way, found in ratios.items()
    )
    text = (
        "# Makespan: 60 unequal runs on four GPUs\n\n`make bench-makespan`: 12 models × 5 folds, whose lengths differ "
        f"by a log-normal factor (median {options.median:g} s, sigma {SPREAD}; sleeping stand-ins on stand-in GPUs), "
        f"{options.sets} sets. The bound is the longest run or a quarter of all seconds, whichever is more: "
        f"{min(bounds):.0f} to {max(bounds):.0f} s here. Timed from the start of the first run to the end of the last, "
        f"so what each job costs to start counts. {os.cpu_count()} cores, shared, no GPU.\n\n"
        f"| | time ÷ bound, median | range |\n|---|---|---|\n{rows}\n"
    )
    (ROOT / "docs" / "benchmarks" / "makespan.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
