"""`make gpu`, rehearsed with stand-in GPUs: its checks work, and each ends in time whatever it does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = [str(ROOT / "benchmarks" / "gpu" / "run.py")]
PLANTED = [str(ROOT / "tests" / "helpers" / "planted_checks.py")]
# The checks themselves, with time for a machine that has much else to do.
UNHURRIED = [
    "-c",
    f"import dataclasses, sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); from gpu import run; "
    "sys.exit(run.main(checks=[dataclasses.replace(check, seconds=900) for check in run.CHECKS]))",
]


def environment(out, gpus="A,B") -> dict[str, str]:
    return os.environ | {"FOLDSTACK_FAKE_GPUS": gpus, "OMP_NUM_THREADS": "1", "PLANTED_OUT": str(out)}


def gpu(out, *arguments, command=PLANTED, **options) -> subprocess.CompletedProcess:
    words = [sys.executable, *command, *map(str, arguments)]
    return subprocess.run(words, env=environment(out, **options), capture_output=True, text=True, check=False)


def checks_of(out) -> dict[str, dict]:
    return {check["name"]: check for check in json.loads((out / "gpu.json").read_text())["checks"]}


def gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    out = tmp_path_factory.mktemp("planted")
    return gpu(out, "--out", out), out


def test_the_checks_pass_in_rehearsal_and_the_page_says_that_it_is_one(tmp_path):
    names = ("lease", "demo", "resume", "halving", "speed")
    done = gpu(tmp_path, "--out", tmp_path, "--minutes", 60, command=UNHURRIED)
    checks = checks_of(tmp_path)
    outcomes = {name: check["outcome"] for name, check in checks.items()}
    assert outcomes == dict.fromkeys(names, "ok"), json.dumps(checks, indent=2)
    assert done.returncode == 0
    figures = {name: check["figures"] for name, check in checks.items()}
    assert figures["lease"]["leased"] == "A"
    assert figures["lease"]["used_memory_rose_by_mib"] == figures["lease"]["filled_mib"] > 0
    assert "busy with other work" in figures["lease"]["others_are_told"]
    assert figures["demo"]["parity_passed"]
    assert figures["demo"]["oof_accuracy"]["small_cnn"]["GPU"] == figures["demo"]["oof_accuracy"]["small_cnn"]["CPU"]
    assert figures["resume"]["same_bytes_as_unbroken"]
    assert figures["resume"]["precision"] == "bfloat16"
    assert figures["resume"]["resumed"] != "resumed in epoch 1 after 1 of 10 steps", "the second checkpoint is later"
    assert figures["halving"]["whole"]["micro_batch"] is None
    assert 0 < figures["halving"]["halved"]["micro_batch"] <= 200
    assert figures["speed"]["share_of_the_ceiling"] > 0
    page = (tmp_path / "gpu.md").read_text()
    assert page.startswith("# Rehearsal: not on a GPU\n")
    assert "nothing on this page was measured on a GPU" in page


def test_a_check_may_end_in_any_way_and_the_others_still_run(planted):
    done, out = planted
    checks = checks_of(out)
    assert {name: check["outcome"] for name, check in checks.items()} == {
        "fails": "failed",
        "hangs": "timed out",
        "breaks": "failed",
        "dies": "failed",
        "skips": "skipped",
        "looks": "ok",
        "passes": "ok",
    }
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    page = (out / "gpu.md").read_text()
    assert "A planted failure. **failed**: The GPU says 3 where it should say 2." in page
    assert "A planted endless loop. **timed out**: It did not end within 4 s." in page
    assert "ZeroDivisionError: by zero" in page
    assert "Its process ended with 3 and gave no reason." in page
    assert "**skipped**: This GPU has no second one beside it." in page
    assert "- seen: 1.5\n- asked: a yes\n" in page
    assert checks["fails"]["figures"] == {"seen": 2}, "what it saw before it failed"
    assert "what it printed" in checks["fails"]["log"]


def test_a_check_whose_time_is_over_leaves_no_process_behind(planted):
    hung = checks_of(planted[1])["hangs"]
    assert 4 <= hung["seconds"] < 25
    assert gone(hung["figures"]["child"])


def test_the_page_is_written_as_it_goes(planted):
    seen = checks_of(planted[1])["looks"]["figures"]["outcomes"]
    assert seen["hangs"] == "timed out"
    assert seen["looks"] == "running"
    assert "passes" not in seen


def test_another_call_renews_the_chosen_checks_and_keeps_the_others(planted, tmp_path):
    report = json.loads((planted[1] / "gpu.json").read_text())
    for check in report["checks"]:
        check["when"] = "long ago"
    (tmp_path / "gpu.json").write_text(json.dumps(report))
    done = gpu(tmp_path, "--out", tmp_path, "--checks", "passes", "skips")
    assert done.returncode == 0, "a check that was skipped has not failed"
    after = checks_of(tmp_path)
    assert list(after) == [check["name"] for check in report["checks"]]
    renewed = {name for name, check in after.items() if check["when"] != "long ago"}
    assert renewed == {"passes", "skips"}


def test_results_of_another_gpu_are_not_kept(planted, tmp_path):
    report = json.loads((planted[1] / "gpu.json").read_text())
    report["device"]["name"] = "another"
    (tmp_path / "gpu.json").write_text(json.dumps(report))
    gpu(tmp_path, "--out", tmp_path, "--checks", "passes")
    assert list(checks_of(tmp_path)) == ["passes"]


def test_all_of_it_ends_in_time(tmp_path):
    done = gpu(tmp_path, "--out", tmp_path, "--minutes", 0.05, "--checks", "passes")
    assert done.returncode == 0
    assert checks_of(tmp_path)["passes"]["outcome"] == "skipped"
    assert checks_of(tmp_path)["passes"]["sentence"] == "No time was left for it."


def test_without_a_gpu_it_says_so_and_touches_no_page(tmp_path):
    done = gpu(tmp_path, "--out", tmp_path, gpus="", command=RUN)
    assert done.returncode == 2
    assert done.stdout.startswith("No NVIDIA GPU")
    assert len(done.stdout.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_rehearsal_keeps_out_of_the_docs(tmp_path):
    folder = ROOT / "docs" / "benchmarks"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = gpu(tmp_path, command=RUN)
    assert done.returncode == 1
    assert "rehearsal" in done.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_ended_from_outside_it_ends_the_check_at_work(tmp_path):
    words = [sys.executable, *PLANTED, "--out", str(tmp_path), "--checks", "hangs"]
    process = subprocess.Popen(words, env=environment(tmp_path) | {"TMPDIR": str(tmp_path)})
    until, child = time.monotonic() + 60, None
    while child is None and time.monotonic() < until:
        time.sleep(0.05)
        for path in tmp_path.glob("foldstack-gpu-*/figures.json"):
            child = json.loads(path.read_text())["child"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert gone(child)
    assert checks_of(tmp_path)["hangs"]["outcome"] == "running"
