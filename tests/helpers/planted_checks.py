"""Checks for benchmarks/gpu/run.py that end in every way, and a command that runs them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
sys.path.insert(0, str(ROOT / "benchmarks"))

from gpu.check import Attempt, Check, Skipped  # noqa: E402
from gpu.run import main  # noqa: E402

from foldstack.errors import FoldstackError  # noqa: E402

OUT = "PLANTED_OUT"  # where the page goes


def passes(attempt: Attempt) -> None:
    attempt.see(seen=1.5, asked={"a": True})


def fails(attempt: Attempt) -> None:
    attempt.see(seen=2)
    print("what it printed")
    raise FoldstackError("The GPU says 3 where it should say 2.")


def breaks(attempt: Attempt) -> None:
    raise ZeroDivisionError("by zero")


def hangs(attempt: Attempt) -> None:
    child = subprocess.Popen(["sleep", "600"])
    attempt.see(child=child.pid)
    time.sleep(600)


def dies(attempt: Attempt) -> None:
    os._exit(3)


def skips(attempt: Attempt) -> None:
    raise Skipped("This GPU has no second one beside it.")


def looks(attempt: Attempt) -> None:
    """What the page says while a check is at work."""
    report = json.loads((Path(os.environ[OUT]) / "gpu.json").read_text())
    attempt.see(outcomes={check["name"]: check["outcome"] for check in report["checks"]})


CHECKS = [
    Check("fails", 30, "A planted failure.", fails),
    Check("hangs", 4, "A planted endless loop.", hangs),
    Check("breaks", 30, "A planted bug.", breaks),
    Check("dies", 30, "A planted sudden end.", dies),
    Check("skips", 30, "Nothing here.", skips),
    Check("looks", 30, "The page as it grows.", looks),
    Check("passes", 30, "That two is two.", passes),
]

if __name__ == "__main__":
    sys.exit(main(checks=CHECKS))
