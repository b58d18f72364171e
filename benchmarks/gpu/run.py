"""What Foldstack does on a GPU, checked and measured in order of worth (`make gpu`).

    make gpu                            all checks, in at most 15 minutes
    make gpu CHECKS="demo resume"       these
    make gpu MINUTES=9 OUT=folder       in less time; the page goes to another folder

With stand-in GPUs (FOLDSTACK_FAKE_GPUS=A) it is a rehearsal: on the CPU, with small settings, and only with OUT.
Exit code 0 where all chosen checks passed, 1 where one did not, 2 without a GPU.
"""

import argparse
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("workflow/scripts", "benchmarks", "tests/helpers", "tests/tools")]

from foldstack.errors import FoldstackError  # noqa: E402
from foldstack.gpus import inventory, leases  # noqa: E402
from foldstack.reruns import versions  # noqa: E402
from gpu import check, demo, device, halving, lease, page, resume, speed  # noqa: E402

PAGES = ROOT / "docs" / "benchmarks"
LEAST_SECONDS = 10  # with less time left no check is begun
CHECKS = (
    check.Check(
        "lease",
        60,
        "NVML's readings are plausible and follow what a process takes; a job leases one GPU by UUID and sees no "
        "other; a GPU that other work fills is not leased.",
        lease.check_lease,
    ),
    check.Check(
        "demo",
        240,
        "The demo (scikit-learn's digits, one seed, two folds) trains on the GPU and ends in an ONNX file that passes "
        f"its gates; no model's OOF accuracy differs by more than {demo.FARTHEST} from the same config on the CPU.",
        demo.check_demo,
    ),
    check.Check(
        "resume",
        180,
        "A run in bfloat16 that is killed (SIGKILL) behind its second checkpoint ends when the same command is given "
        "again; whether with the bytes of a run left alone is measured.",
        resume.check_resume,
    ),
    check.Check(
        "halving",
        120,
        "A batch that does not fit into the GPU's memory goes through in halves, and run.json says so.",
        halving.check_halving,
    ),
    check.Check(
        "speed",
        180,
        "Images per second of resnet50 at 224 px in training, with reading and the preset `strong`, against its "
        "ceiling: forward, backward and step alone ([training speed](training.md)).",
        speed.check_speed,
    ),
)


def main(arguments: Sequence[str] | None = None, checks: Sequence[check.Check] = CHECKS) -> int:
    """Run the chosen checks; returns the exit code."""
    options = _options(arguments, [one.name for one in checks])
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that the check at work is ended too
    try:
        return _checked(options, checks)
    except FoldstackError as error:
        print(error)
        return 1


def _checked(options: argparse.Namespace, checks: Sequence[check.Check]) -> int:
    found, rehearsal = device.first(), inventory.FAKE in os.environ
    if found is None:
        print("No NVIDIA GPU that this process may use was found: nothing was checked, and no page written.")
        return 2
    if rehearsal and options.out.resolve() == PAGES:
        raise FoldstackError(f"{inventory.FAKE} makes this a rehearsal, which keeps out of docs/benchmarks; set OUT.")
    report = _begun(options.out, found, rehearsal)
    until, outcomes = time.monotonic() + options.minutes * 60, []
    for one in checks:
        if one.name not in options.checks:
            continue
        _put(report, checks, one, outcome="running", sentence="It had not ended when this was written.")
        page.write(options.out, report)
        result = _run(one, until - time.monotonic(), rehearsal)
        _put(report, checks, one, **result)
        page.write(options.out, report)
        outcomes.append(result["outcome"])
        print(f"{one.name}: {result['outcome']} in {result['seconds']:.0f} s. {result['sentence']}", flush=True)
    print(f"The page is {options.out / page.NAME}.md.")
    return int(any(outcome in ("failed", "timed out") for outcome in outcomes))


def _options(arguments: Sequence[str] | None, names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", nargs="+", choices=names, default=names)
    parser.add_argument("--minutes", type=float, default=15, help="in which all of it ends")
    parser.add_argument("--out", type=Path, default=PAGES, help="folder of the page")
    return parser.parse_args(arguments)


def _run(one: check.Check, seconds_left: float, rehearsal: bool) -> dict:
    if seconds_left < LEAST_SECONDS:
        return {"outcome": "skipped", "sentence": "No time was left for it.", "seconds": 0.0, "figures": {}}
    with tempfile.TemporaryDirectory(prefix="foldstack-gpu-", ignore_cleanup_errors=True) as folder:
        if rehearsal:  # stand-in GPUs are no one else's
            os.environ[leases.FOLDER] = str(Path(folder, "leases"))
        return check.run(one, check.Attempt(Path(folder), rehearsal), min(one.seconds, seconds_left))


def _begun(out: Path, found: dict, rehearsal: bool) -> dict:
    """The report to go on with: that of an earlier call on such a GPU, of which this one renews the chosen checks."""
    report = {"rehearsal": rehearsal, "device": found, "checks": []}
    earlier = page.read(out)
    if earlier and all(earlier[key] == report[key] for key in ("rehearsal", "device")):
        report = earlier
    return report | {"versions": versions.versions()}


def _put(report: dict, order: Sequence[check.Check], one: check.Check, **result) -> None:
    """Enter a check's result, in the place of an earlier one; drop those of checks that are no longer there."""
    entry = {"name": one.name, "shows": one.shows, "limit": one.seconds, "when": _now(), "code": _commit()}
    entry |= {"seconds": 0.0, "figures": {}} | result
    entries = {other["name"]: other for other in report["checks"]} | {one.name: entry}
    report["checks"] = [entries[known.name] for known in order if known.name in entries]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")


def _commit() -> str:
    """The commit of this checkout, with + where it was edited since; "unknown" outside of git."""
    try:
        said = [
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said[0] + ("+" if said[1] else "")


if __name__ == "__main__":
    sys.exit(main())
