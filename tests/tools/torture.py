"""Kill the workflow again and again, in every rule and in every way; the results must not differ by a byte.

    make torture            20 kills of the demo; writes docs/benchmarks/torture.md

tests/e2e/test_torture.py runs a short form.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from project import ROOT, Project

RULES = [*["train_fold"] * 5, "prepare_data", "assign_folds", "collect_oof", "fit_stacker", "evaluate", "export_model",
         "verify_export", "export_ensemble", "verify_ensemble", "predict_new", "plot_curves", "plot_data"]  # fmt: skip
COMPARED = ["data/*.parquet", "data/pixels.npy", "folds/*", "oof/**/*.arrow", "test/**/*.arrow", "stack/*",
            "evaluation/metrics.json", "evaluation/leaderboard.csv", "evaluation/summary.txt",
            "models/**/weights.safetensors", "models/**/history.csv", "export/models/*.onnx", "export/ensemble.onnx",
            "predictions/*.csv"]  # fmt: skip
WAYS = ("SIGKILL to everything", "SIGKILL to the job", "SIGTERM to everything", "Ctrl-C")


def digests(results: Path) -> dict[str, str]:
    """Content digests of what must be the same bytes, by path."""
    files = sorted(path for pattern in COMPARED for path in results.glob(pattern))
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def torture(project: Project, kills: int, seed: int, say=print) -> Counter:
    """Start the workflow and kill it `kills` times, then let it end; returns how often each (rule, way) was hit."""
    rng, hits = random.Random(seed), Counter()
    for number in range(kills):
        rule, way = RULES[number % len(RULES)], WAYS[(number + number // len(RULES)) % len(WAYS)]
        process = start(project)
        job = wait_for_job(process, project.folder, rule)
        if job is None:  # it ended, for that rule's outputs were there already
            process = start(project, "--forcerun", rule)
            job = wait_for_job(process, project.folder, rule)
        time.sleep(rng.uniform(0, 10 if rule == "train_fold" else 2))
        kill(process, job, way)
        hits[rule, way] += 1
        say(f"kill {number + 1} of {kills}: {way}, in {rule}")
    project.run(cores=1, timeout=3600)  # another number of cores changes no byte either
    return hits


def start(project: Project, *arguments) -> subprocess.Popen:
    return subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_job(process: subprocess.Popen, folder: Path, rule: str) -> int | None:
    """Process id of a running job of `rule`, or None where the workflow ends without one."""
    while process.poll() is None:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                ours = (entry / "cwd").resolve() == folder.resolve()
            except OSError:
                continue
            if ours and len(words) > 1 and words[1].endswith(f".{rule}.py"):
                return int(entry.name)
        time.sleep(0.05)
    return None


def kill(process: subprocess.Popen, job: int, way: str) -> None:
    """Stop the workflow in one of WAYS, and wait until all of it is gone."""
    number = {"SIGTERM to everything": signal.SIGTERM, "Ctrl-C": signal.SIGINT}.get(way, signal.SIGKILL)
    try:
        if way == "SIGKILL to the job":
            os.kill(job, number)
            time.sleep(1)
            number = signal.SIGTERM  # the others may end in their own time
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        print("an undisturbed run of the demo ...")
        calm = Project(Path(folder, "calm"), config)
        calm.run(timeout=3600)
        started = time.monotonic()
        tortured = Project(Path(folder, "tortured"), config)
        hits = torture(tortured, options.kills, options.seed)
        expected, found = digests(calm.results), digests(tortured.results)
    different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    minutes = (time.monotonic() - started) / 60
    verdict = f"{len(expected)} files compared, {len(different)} differ"
    print(f"{sum(hits.values())} kills in {minutes:.1f} min: {verdict}", *different, sep="\n  ")
    write_page(hits, verdict, minutes, options.seed)
    sys.exit(bool(different))


def write_page(hits: Counter, verdict: str, minutes: float, seed: int) -> None:
    rows = "\n".join(f"| `{rule}` | {way} | {count} |" for (rule, way), count in sorted(hits.items()))
    text = (
        "# Killed again and again\n\n`make torture` kills the demo in every rule and in every way, and gives the same "
        "command again each time. Compared with an undisturbed run: OOF and test predictions, stack, metrics, weights, "
        f"histories, ONNX files, predictions.\n\n**{sum(hits.values())} kills (seed {seed}, {minutes:.1f} minutes on "
        f"{os.cpu_count()} cores, CPU only): {verdict}.**\n\n| killed in | how | times |\n|---|---|---|\n{rows}\n"
    )
    (ROOT / "docs" / "benchmarks" / "torture.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
