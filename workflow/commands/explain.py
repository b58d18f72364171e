"""What would run, why, about how long, and what it needs of disk and memory (`make explain`).

Asks `snakemake -n` and groups its jobs by cause; times come from what earlier runs of this experiment recorded, before
that from how much there is to do. Exits with 1 where the disk cannot hold the results.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from foldstack.config import resolve as configuration  # noqa: E402
from foldstack.errors import FoldstackError  # noqa: E402
from foldstack.estimates import disk, words  # noqa: E402
from foldstack.estimates.experiment import Estimates, smallest_gpu  # noqa: E402
from foldstack.estimates.times import Timings  # noqa: E402
from foldstack.gpus import inventory  # noqa: E402
from foldstack.reruns.reasons import FOLLOWS  # noqa: E402
from foldstack.runs import RUN_RULE  # noqa: E402

TARGETS = ("all", "predict", "traces")
JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):$(.*?)(?=^\[|^\s*$|\Z)", re.MULTILINE | re.DOTALL)


def planned_jobs(text: str) -> list[dict]:
    """`rule`, `reason`, `wildcards` and `gpu` of each job in what `snakemake -n` printed; targets left out."""
    jobs = []
    for rule, body in JOB.findall(text):
        fields = dict(re.findall(r"^    (\w+): (.*)$", body, re.MULTILINE))
        pairs = (pair.partition("=")[::2] for pair in fields.get("wildcards", "").split(", ") if pair)
        gpu = re.search(r"\bgpu=(\d+)", fields.get("resources", ""))
        job = {"rule": rule, "reason": fields.get("reason", ""), "wildcards": dict(pairs)}
        if rule not in TARGETS:
            jobs.append(job | {"gpu": int(gpu[1]) if gpu else 0})
    return jobs


def causes(jobs: list[dict]) -> list[tuple[str, str]]:
    """(what, why) of each group: runs by model and cause, other jobs by cause, jobs that only follow in one line."""
    groups: dict[tuple, list[dict]] = {}
    for job in jobs:
        model = job["wildcards"].get("model", "") if job["rule"] == RUN_RULE else ""
        groups.setdefault((job["rule"] == RUN_RULE, model, _why(job)), []).append(job)
    rows = []
    for (is_run, model, why), members in sorted(groups.items(), key=lambda item: (not item[0][0], item[0][2] == "")):
        if is_run:
            rows.append((f"{_count(len(members), 'run')} of {model}", why.removeprefix(f"{model}: ")))
        else:
            rows.append((_rules(members), why or ("follow from them" if rows else "follow from each other")))
    return rows


def estimate(
    jobs: list[dict], timings: Timings, config: dict, cores: int, gpus: int, found: Estimates | None = None
) -> tuple[float, int]:
    """(seconds, jobs of unknown length): runs side by side as cores and GPUs allow, the other jobs as cores do.

    `found` is asked for what no job of this experiment recorded.
    """
    slots: dict[str, list[tuple[float, int]]] = {"runs": [], "others": []}
    unknown = 0
    for job in jobs:
        if job["rule"] == RUN_RULE:
            model, block = job["wildcards"]["model"], config["models"][job["wildcards"]["model"]]
            reckoned = found.seconds(RUN_RULE, model) if found and model not in timings.runs else None
            seconds = reckoned or timings.of_run(model, block["epochs"])
            side_by_side = at_a_time(block, cores, gpus, job["gpu"])
        else:
            seconds, side_by_side = timings.others.get(job["rule"]), cores
            if seconds is None and found:
                seconds = found.seconds(job["rule"], job["wildcards"].get("model"))
        if seconds is None:
            unknown += 1
            continue
        slots["runs" if job["rule"] == RUN_RULE else "others"].append((seconds, side_by_side))
    total = 0.0
    for members in slots.values():
        if members:  # never less than the longest job of the kind
            total += max(sum(seconds / width for seconds, width in members), max(seconds for seconds, _ in members))
    return total, unknown


def at_a_time(block: dict, cores: int, gpus: int, asked: int) -> int:
    """Runs of a model side by side; `asked` is how many GPUs each has."""
    most = max(1, cores // block["threads"])
    return min(most, max(1, gpus // asked)) if asked else most


def verdict(
    jobs: list[dict], timings: Timings, config: dict, cores: int, gpus: int, found: Estimates | None = None
) -> str:
    """One line: how many jobs, and about how long."""
    text = _count(len(jobs), "job")
    seconds, unknown = estimate(jobs, timings, config, cores, gpus, found)
    runs = {job["wildcards"]["model"] for job in jobs if job["rule"] == RUN_RULE}
    reckoned = found is not None and all(found.seconds(RUN_RULE, model) for model in runs)
    if unknown == len(jobs) or (runs and not timings.runs and not reckoned):
        return f"{text}; no timings yet: they are recorded as runs end."
    text += f", about {_clock(seconds)} on {_count(cores, 'core')}"
    if not timings.runs and runs:
        text += " by the networks' flops, until runs have been timed"
    return f"{text}; {_count(unknown, 'job')} without a recorded time not counted." if unknown else f"{text}."


def needs(found: Estimates, side_by_side: int) -> Table:
    """Disk, memory, GPU, exported file."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for row in words.in_full(found, smallest_gpu() if found.on_gpus else None, side_by_side):
        table.add_row(*row)
    return table


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--gpus", type=int, default=1, help="GPUs that runs may use at once")
    parser.add_argument("--configfile", help="by default config/config.yaml")
    options = parser.parse_args(arguments)
    if options.configfile and not Path(options.configfile).is_file():
        raise FoldstackError(f"{options.configfile} is not a file; give a config such as config/config.yaml.")
    command = [sys.executable, "-m", "snakemake", "-n", "--nocolor", "--cores", str(options.cores)]
    command += ["--configfile", options.configfile] if options.configfile else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(_error(done.stdout + done.stderr), file=sys.stderr)
        return 1
    jobs = planned_jobs(done.stdout + done.stderr)
    if not jobs:
        print("Nothing would run: all results are up to date.")
        return 0
    file = Path(options.configfile or "config/config.yaml")
    config = configuration.resolve(yaml.safe_load(file.read_text(encoding="utf-8")))
    table = Table("what", "why", box=None, pad_edge=False, header_style="bold")
    for row in causes(jobs):
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.print(table)
    results = Path("results") / config["experiment"]
    found = Estimates(config, results, config["device"] != "cpu" and bool(inventory.visible_gpus()))
    console.print(f"\n{verdict(jobs, Timings(results), config, options.cores, options.gpus, found)}")
    runs = [(config["models"][job["wildcards"]["model"]], job["gpu"]) for job in jobs if job["rule"] == RUN_RULE]
    together = (at_a_time(block, options.cores, options.gpus, asked) for block, asked in runs)
    console.print(needs(found, min(len(runs), max(together, default=0))))
    if any(job["rule"] == "assign_folds" for job in jobs) and not any(job["rule"] == RUN_RULE for job in jobs):
        console.print(
            "Whether more runs are needed is known once the folds are assigned: if they change, all runs train again."
        )
    caution = disk.check(results, found.disk)  # raises where the disk cannot hold them
    if caution:
        console.print(caution)
    return 0


def _why(job: dict) -> str:
    """The cause, or "" where the job only follows from others."""
    follows = job["reason"].startswith(FOLLOWS) or (job["reason"] == "not made yet" and job["rule"] != RUN_RULE)
    return "" if follows else job["reason"]


def _rules(jobs: list[dict]) -> str:
    names: dict[str, int] = {}
    for job in jobs:
        names[job["rule"]] = names.get(job["rule"], 0) + 1
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in names.items())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _clock(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _error(text: str) -> str:
    """Snakemake's message without its header."""
    return text[text.find("WorkflowError") :] if "WorkflowError" in text else text


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FoldstackError as error:
        sys.exit(str(error))
