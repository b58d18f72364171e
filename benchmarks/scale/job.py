"""A rule's script in a process of its own, measured.

    python job.py CODE RULE JOB.json

JOB.json holds what Snakemake would give to the script: `input`, `output`, `params`, `wildcards`, `threads`, `log`.
"""

import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

GIB = 2**30


def measured(command: list[str], memory: float, limit: float, threads: int = 1, folder: Path | None = None) -> dict:
    """Run a command; its wall and CPU seconds, and the peak memory in MiB of the largest of its processes.

    Args:
        memory: GiB that a process may have; more, and it fails (`failed` says so), so that others can go on.
        limit: seconds after which it is stopped (`stopped`).
        threads: as Snakemake sets for a rule with so many; 0 leaves the environment as it is.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    limits = {name: str(threads) for name in names if threads}
    started, stopped = time.monotonic(), False
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | limits,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (int(memory * GIB),) * 2),
        )
        while True:  # wait4 gives the usage of this one process and of those that it waited for, and has no timeout
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - started > limit and not stopped:
                os.killpg(process.pid, signal.SIGKILL)
                stopped = True
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    found: dict[str, Any] = {
        "seconds": time.monotonic() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    if stopped:
        return found | {"stopped": limit}
    return found | ({"failed": said[-2000:] or f"exit code {process.returncode}"} if process.returncode else {})


def of_rule(code: Path, rule: str, job: dict, memory: float, limit: float) -> dict:
    """`measured` of a rule's script, with the size of its outputs in bytes."""
    file = Path(job["log"]).with_suffix(".job.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    threads = min(threads_of(code, rule), os.cpu_count() or 1)
    file.write_text(json.dumps(job | {"threads": threads}), encoding="utf-8")
    found = measured([sys.executable, __file__, str(code), rule, str(file)], memory, limit, threads)
    if "failed" in found:
        log = Path(job["log"])
        said = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
        found["failed"] = (said or found["failed"]).splitlines()[-1][:300]
    return found | {"bytes": sum(size_of(Path(path)) for path in job["output"].values()), "threads": threads}


def size_of(path: Path) -> int:
    if path.is_dir():
        return sum(size_of(child) for child in path.iterdir())
    return path.stat().st_size if path.exists() else 0


def threads_of(code: Path, rule: str) -> int:
    """What the rule asks for, where its file says so as a number; else one."""
    text = "".join(path.read_text(encoding="utf-8") for path in (code.parents[1] / "rules").glob("*.smk"))
    block = re.search(rf"^(?:rule|checkpoint) {rule}:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    found = re.search(r"^    threads: (\d+)", block[1] if block else "", re.MULTILINE)
    return int(found[1]) if found else 1


class Named(dict):
    """Items that are attributes too, as Snakemake's are."""

    __getattr__ = dict.__getitem__


def main() -> None:
    code, rule, file = sys.argv[1:]
    sys.path.insert(0, code)
    job = json.loads(Path(file).read_text(encoding="utf-8"))
    named = {key: Named(job[key]) for key in ("input", "output", "params", "wildcards")}
    importlib.import_module(rule).main(SimpleNamespace(rule=rule, log=[job["log"]], threads=job["threads"], **named))


if __name__ == "__main__":
    main()
