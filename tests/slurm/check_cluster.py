"""`make test-slurm`: the workflow through profiles/slurm on a real one-node Slurm with four placeholder GPUs.

Not a part of `make test`, hence the name: it installs packages, starts daemons and takes minutes.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, install
from project import TINY, Project

GPUS = 4
MODELS = {name: {**model, "epochs": 30} for name, model in TINY["models"].items()}
CONFIG = TINY | {"folds": {"n_splits": 3}, "models": MODELS}
RUN = re.compile(r"rule_train_fold_wildcards_(\w+)_(\d+)_(\d+)")
LIMIT = 1800  # seconds


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    install()
    with Cluster(tmp_path_factory.mktemp("slurm") / "cluster", GPUS) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory):
    """The whole line, run once; with the states of its GPU jobs, asked from squeue the whole time."""
    project = Project(tmp_path_factory.mktemp("undisturbed") / "project", CONFIG)
    with snakemake(project, cluster) as process:
        project.seen = [states for _ in while_running(process, 0.5) if (states := train_jobs(cluster))]
    assert process.returncode == 0, output(project)
    return project


def test_the_whole_line_runs_through_the_cluster(undisturbed, cluster):
    assert (undisturbed.results / "evaluation" / "summary.txt").stat().st_size
    assert (undisturbed.results / "predictions" / "predictions.csv").stat().st_size
    assert "Where to look next" in output(undisturbed)
    rules = {line.removeprefix("rule_").split("_wildcards_")[0] for line in squeue(cluster, "%k")}
    assert {"prepare_data", "assign_folds", "train_fold", "fit_stacker", "evaluate"} <= rules
    assert "all" not in rules, "a rule without work of its own needs no job"


def test_four_gpu_jobs_have_four_gpus_and_the_fifth_waits(undisturbed):
    gpus = {run: gpus_of(undisturbed, run) for run in runs()}
    assert set(gpus.values()) == {"0", "1", "2", "3"}, gpus
    full = 0
    for states in undisturbed.seen:
        running = [run for run, state in states if state == "RUNNING"]
        assert len(running) <= GPUS
        assert len({gpus[run] for run in running}) == len(running), f"one GPU for two jobs: {running} {gpus}"
        full += len(running) == GPUS and any(state == "PENDING" for _, state in states)
    assert all("training on the CPU" in log_of(undisturbed, run).read_text() for run in gpus), (
        "placeholders compute nothing"
    )
    assert full, f"never four running and a fifth waiting: {undisturbed.seen}"


def test_a_cancelled_run_is_retried_to_the_same_bytes(undisturbed, cluster, tmp_path):
    project = Project(tmp_path / "project", CONFIG)
    run = ("cnn", "0", "1")
    before = set(squeue(cluster, "%i"))
    cancelled = None
    with snakemake(project, cluster, f"{folder_of(project, run).relative_to(project.folder)}/run.json") as process:
        for _ in while_running(process, 0.05):
            if cancelled is None and (project.results / "work" / "progress" / "cnn.seed0.fold1.json").exists():
                (cancelled,) = (
                    line.split("|")[0] for line in squeue(cluster, "%i|%T|%k") if "|RUNNING|rule_train" in line
                )
                cluster.ask("scancel", cancelled)
    assert process.returncode == 0, output(project)
    states = [line.split("|")[1:] for line in squeue(cluster, "%i|%T|%k") if line.split("|")[0] not in before]
    assert sorted(state for state, rule in states if "train_fold" in rule) == ["CANCELLED", "COMPLETED"]
    assert "resumed in epoch" in log_of(project, run).read_text()
    assert files_of(project, run) == files_of(undisturbed, run)


@contextlib.contextmanager
def snakemake(project: Project, cluster: Cluster, *arguments):
    """The process of a snakemake that asks Slurm more often than the profile says; it does not outlive the block."""
    (project.folder / "config.yaml").write_text(yaml.safe_dump(project.config))
    command = [sys.executable, "-m", "snakemake", *arguments, "--workflow-profile", "profiles/slurm"]
    command += ["--configfile", "config.yaml", "--slurm-init-seconds-before-status-checks", "3"]
    environment = cluster.environment | {"OMP_NUM_THREADS": "1", "FOLDSTACK_FAKE_GPUS": ""}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with open(project.folder / "output.txt", "wb") as stream:
        process = subprocess.Popen(
            command, cwd=project.folder, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def while_running(process: subprocess.Popen, seconds: float):
    """Yield every so many seconds while the process runs, LIMIT seconds at most."""
    started = time.monotonic()
    while process.poll() is None:
        assert time.monotonic() - started < LIMIT, f"snakemake did not end within {LIMIT} s"
        yield
        time.sleep(seconds)


def squeue(cluster: Cluster, form: str) -> list[str]:
    return cluster.ask("squeue", "--states=all", "--noheader", f"--format={form}").splitlines()


def train_jobs(cluster: Cluster) -> list[tuple]:
    """(run, state) of the GPU jobs that run or wait."""
    found = [(RUN.search(line), line.split("|")[0]) for line in squeue(cluster, "%T|%k")]
    return [(match.groups(), state) for match, state in found if match and state in ("RUNNING", "PENDING")]


def runs() -> list[tuple]:
    return [(model, "0", str(fold)) for model in MODELS for fold in range(CONFIG["folds"]["n_splits"])]


def folder_of(project: Project, run: tuple) -> Path:
    model, seed, fold = run
    return project.results / "models" / model / f"seed{seed}" / f"fold{fold}"


def files_of(project: Project, run: tuple) -> dict[str, bytes]:
    names = ("weights.safetensors", "oof.arrow", "test.arrow", "history.csv")
    return {name: (folder_of(project, run) / name).read_bytes() for name in names}


def log_of(project: Project, run: tuple) -> Path:
    model, seed, fold = run
    return project.results / "logs" / "train_fold" / model / f"seed{seed}" / f"fold{fold}.log"


def gpus_of(project: Project, run: tuple) -> str:
    return re.search(r"CUDA_VISIBLE_DEVICES as the job found it: (\S+)", log_of(project, run).read_text())[1]


def output(project: Project) -> str:
    return (project.folder / "output.txt").read_text()
