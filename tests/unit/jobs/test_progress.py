"""foldstack.jobs.progress: what a long stage records of itself, and that it costs nothing where nobody asks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_job import in_child

from foldstack.jobs import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: clock.now = seconds."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_steps_are_the_items_and_record_nothing_outside_a_job(tmp_path):
    assert list(progress.steps(range(3), "counting")) == [0, 1, 2]
    with progress.recorded_in(None), progress.stage("counting", 2) as step:
        step()
    assert not list(tmp_path.iterdir())


def test_a_stage_says_its_share_and_the_time_left_at_most_once_a_second(tmp_path, clock):
    path = tmp_path / "work" / "x.json"
    seen = []
    with progress.recorded_in(path):
        for _ in progress.steps(iter(range(40)), "reading images", total=40):
            found = progress.read_progress(path)
            seen.append((found["what"], found["share"], found["seconds_left"]))
            clock.now += 0.5
    assert seen[0] == ("reading images", 0, None)
    assert seen[3][1] == 2 / 40
    assert seen[2] == seen[3] != seen[4]
    assert seen[20] == ("reading images", 0.5, 10.0)
    assert not path.exists(), "a job that has ended is not shown as running"


def test_a_stage_within_a_stage_counts_as_its_part(tmp_path, clock):
    path = tmp_path / "x.json"
    with progress.recorded_in(path):
        for fold in progress.steps([0, 1], "cross-fit"):
            with progress.stage("rounds", 4) as step:
                for _ in range(3):
                    clock.now += 2
                    step()
            found = progress.read_progress(path)
            assert (found["what"], found["share"]) == ("cross-fit, rounds", (fold + 3 / 4) / 2)


def test_an_abandoned_stage_ends_and_a_failed_job_leaves_no_file(tmp_path, clock):
    path = tmp_path / "x.json"

    def work():
        for _ in progress.steps(range(9), "first"):
            break
        clock.now += 2
        next(iter(progress.steps(range(9), "second")))
        assert progress.read_progress(path)["what"] == "second"
        raise OSError("full")

    with pytest.raises(OSError, match="full"), progress.recorded_in(path):
        work()
    assert not path.exists()
    assert list(progress.steps([1], "later")) == [1]


def test_a_process_that_the_job_starts_does_not_write_over_it(tmp_path, clock):
    path = tmp_path / "x.json"
    with progress.recorded_in(path), progress.stage("job", 10) as step:
        before = path.read_bytes()

        def worker():
            progress._written = 0.0
            assert list(progress.steps(range(3), "worker")) == [0, 1, 2]

        assert in_child(worker) == 0
        assert path.read_bytes() == before
        clock.now += 2
        step()
        assert path.read_bytes() != before


def test_what_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "file").touch()
    with progress.recorded_in(tmp_path / "file" / "x.json"):
        assert list(progress.steps(range(3), "counting")) == [0, 1, 2]


SCRIPT = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from foldstack.jobs import progress
from foldstack.jobs.job import job

with job(SimpleNamespace(log=[sys.argv[1]], params={}, wildcards={}, rule="r")):
    for _ in progress.steps(range(2), "counting"):
        print(*(path.relative_to(sys.argv[2]) for path in Path(sys.argv[2]).rglob("*.json")), file=sys.__stdout__)
"""


@pytest.mark.parametrize("locked", [True, False])
def test_a_job_records_its_stages_by_its_log_where_a_snakemake_uses_the_results(tmp_path, locked):
    log = tmp_path / "logs" / "export_model" / "cnn.log"
    if locked:
        (tmp_path / ".lock").touch()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(progress.__file__).parents[2])}
    subprocess.run([sys.executable, script, log, tmp_path], check=True, env=environment)
    said = log.read_text().split()
    assert said == (["work/progress/logs/export_model/cnn.json"] * 2 if locked else [])
    assert not list(tmp_path.rglob("*.json"))


def test_a_reader_meets_no_broken_file(tmp_path):
    (tmp_path / "x.json").write_text('{"what": ')
    assert progress.read_progress(tmp_path / "x.json") is None
    (tmp_path / "x.json").write_text(json.dumps({"what": "x"}))
    assert progress.read_progress(tmp_path / "x.json") == {"what": "x"}
