"""`make explain`: jobs grouped by cause, and how long they take by recorded times."""

import json
import re

import commands
import pytest
from project import TINY

explain = commands.load("explain")

PLAN = """Building DAG of jobs...
Job stats:
total                     4


[Sat Nov 21 11:55:39 2026]
rule train_fold:
    input: results/tiny/data/samples.parquet
    jobid: 8
    benchmark: results/tiny/benchmarks/train_fold/cnn/seed0/fold0.tsv
    reason: cnn: epochs 2 → 4
    wildcards: model=cnn, seed=0, fold=0
    resources: tmpdir=/x, gpu=1
[Sat Nov 21 11:55:39 2026]
rule train_fold:
    input: results/tiny/data/samples.parquet
    reason: cnn: epochs 2 → 4
    wildcards: model=cnn, seed=0, fold=1
    resources: tmpdir=/x, gpu=0
[Sat Nov 21 11:55:39 2026]
rule evaluate:
    reason: follows from models/cnn
    resources: tmpdir=/x
[Sat Nov 21 11:55:39 2026]
checkpoint assign_folds:
    reason: folds.seed 0 → 1
DAG of jobs will be updated after completion.

[Sat Nov 21 11:55:39 2026]
localrule all:
    reason: follows from evaluation

This was a dry-run (flag -n).
"""
CONFIG = {"models": {"cnn": {"epochs": 4, "threads": 1}, "new": {"epochs": 10, "threads": 1}}}


def recorded(results, model, fold, seconds, epochs, benchmark, status="completed"):
    run = results / "models" / model / "seed0" / f"fold{fold}" / "run.json"
    run.parent.mkdir(parents=True)
    record = {"model": model, "status": status, "seconds": seconds, "epochs_run": epochs, "device": "cpu"}
    run.write_text(json.dumps(record))
    tsv = results / "benchmarks" / "train_fold" / model / "seed0" / f"fold{fold}.tsv"
    tsv.parent.mkdir(parents=True, exist_ok=True)
    tsv.write_text(f"s\th:m:s\n{benchmark}\t0:00:01\n")


def run_job(model="cnn", gpu=0):
    return {"rule": "train_fold", "reason": "new run", "wildcards": {"model": model}, "gpu": gpu}


def test_jobs_are_read_from_the_plan_and_grouped_by_cause():
    jobs = explain.planned_jobs(PLAN)
    assert [job["rule"] for job in jobs] == ["train_fold", "train_fold", "evaluate", "assign_folds"]
    assert [job["gpu"] for job in jobs] == [1, 0, 0, 0]
    assert explain.causes(jobs) == [
        ("2 runs of cnn", "epochs 2 → 4"),
        ("assign_folds", "folds.seed 0 → 1"),
        ("evaluate", "follow from them"),
    ]


def test_a_run_takes_its_start_and_its_epochs_and_a_new_model_the_mean(tmp_path):
    recorded(tmp_path, "cnn", 0, seconds=10, epochs=2, benchmark=16)
    recorded(tmp_path, "cnn", 1, seconds=14, epochs=2, benchmark=18)
    recorded(tmp_path, "vit", 0, seconds=20, epochs=1, benchmark=25)
    recorded(tmp_path, "bad", 0, seconds=900, epochs=1, benchmark=900, status="failed")
    timings = explain.Timings(tmp_path)
    assert timings.of_run("cnn", 4) == pytest.approx(5 + 4 * 6)
    assert timings.of_run("new", 10) == pytest.approx(5 + 10 * (6 + 20) / 2)


def test_side_by_side_by_cores_or_by_gpus_and_never_less_than_the_longest(tmp_path):
    recorded(tmp_path, "cnn", 0, seconds=2, epochs=2, benchmark=8)  # 6 + 1 an epoch: 10 s with 4
    timings = explain.Timings(tmp_path)
    jobs = [run_job() for _ in range(8)]
    assert explain.estimate(jobs, timings, CONFIG, cores=4, gpus=1) == (pytest.approx(20), 0)
    on_gpus = [run_job(gpu=1) for _ in range(8)]
    assert explain.estimate(on_gpus, timings, CONFIG, cores=4, gpus=2) == (pytest.approx(40), 0)
    assert explain.estimate(jobs[:1], timings, CONFIG, cores=4, gpus=1) == (pytest.approx(10), 0)


def test_what_was_never_timed_is_said(tmp_path):
    jobs = [run_job(), {"rule": "evaluate", "reason": "", "wildcards": {}, "gpu": 0}]
    assert "no timings yet" in explain.verdict(jobs, explain.Timings(tmp_path), CONFIG, 2, 1)
    recorded(tmp_path, "cnn", 0, seconds=2, epochs=2, benchmark=8)
    text = explain.verdict(jobs, explain.Timings(tmp_path), CONFIG, 2, 1)
    assert text == "2 jobs, about 10 s on 2 cores; 1 job without a recorded time not counted."


def test_a_first_run_is_explained_as_a_user_types_it(project):
    made = project(TINY)
    made.write_config()
    recorded(made.results, "old", 0, seconds=10, epochs=2, benchmark=16)
    done = commands.typed("explain", "--configfile", "config.yaml", "--cores", "2", cwd=made.folder)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "prepare_data" in words
    assert re.search(r"\d+ jobs, about \d+ s on 2 cores; \d+ jobs without a recorded time not counted\.", words)
    assert "runs: not known yet; `snakemake traces` finds out" in words
    assert not (made.folder / "results/tiny/data").exists(), "explaining runs nothing"


def test_a_finished_experiment_and_a_change_of_it_are_explained(copy_of_finished, monkeypatch, capsys):
    made = copy_of_finished
    monkeypatch.chdir(made.folder)
    made.write_config()
    assert explain.main(["--configfile", "config.yaml"]) == 0
    assert capsys.readouterr().out == "Nothing would run: all results are up to date.\n"
    made.config["models"]["cnn"]["epochs"] = 4
    made.write_config()
    assert explain.main(["--configfile", "config.yaml", "--cores", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["what", "why"]
    assert re.fullmatch(r"2 runs of cnn +epochs 2 → 4", lines[1].strip())
    assert lines[2].strip().endswith(("follow from", "follow from them"))
    assert any(re.fullmatch(r"\d+ jobs, about \d+ (s|min) on 2 cores\.", line) for line in lines)
    words = " ".join(" ".join(lines).split())
    assert re.search(r"disk about \d+ MB \(\w+/ .* GB free", words)
    assert re.search(r"memory a run of (cnn|vit) \d\.\d GiB, 2 at a time \d\.\d GiB; ", words)
    assert re.search(r"exported file about \d+ MB", words)
    made.config["folds"]["seed"] = 1
    made.write_config()
    assert explain.main(["--configfile", "config.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"assign_folds +folds\.seed 0 → 1", lines[1].strip())
    assert "Whether more runs are needed is known once the folds are assigned" in " ".join(lines)


def test_only_what_follows_needs_no_cause():
    jobs = [{"rule": "evaluate", "reason": "not made yet", "wildcards": {}, "gpu": 0}]
    assert explain.causes(jobs) == [("evaluate", "follow from each other")]


@pytest.mark.parametrize(("epochs", "words"), [(9, "10 s"), (89, "2 min"), (3599, "60 min"), (7379, "2 h 3 min")])
def test_long_times_are_in_minutes_and_hours(tmp_path, epochs, words):
    recorded(tmp_path, "cnn", 0, seconds=2, epochs=2, benchmark=3)  # 1 + 1 an epoch
    config = {"models": {"cnn": {"epochs": epochs, "threads": 1}}}
    text = explain.verdict([run_job()], explain.Timings(tmp_path), config, 1, 1)
    assert text == f"1 job, about {words} on 1 core."


def test_a_config_that_is_not_there_is_one_sentence(tmp_path):
    done = commands.typed("explain", "--configfile", "nowhere.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "nowhere.yaml is not a file; give a config such as config/config.yaml.\n"


def test_what_snakemake_refuses_is_passed_on(tmp_path):
    done = commands.typed("explain", cwd=tmp_path)
    assert done.returncode == 1
    assert "No Snakefile found" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_config_with_a_mistake_is_one_sentence(project):
    made = project(TINY | {"models": {"resnet19": {}}})
    made.write_config()
    done = commands.typed("explain", "--configfile", "config.yaml", cwd=made.folder)
    assert done.returncode == 1
    assert "there is no architecture 'resnet19'" in done.stderr
    assert "Traceback" not in done.stderr
