"""Start the ranks of one run and wait until the last has ended; all of them end, whatever happens to one.

The processes are started by torch.multiprocessing.start_processes, which torchrun uses too. The rest of torchrun is of
no use on one machine: no restarts are needed (a run resumes from its checkpoint instead), no rendezvous between
machines, and its handling of signals would end ranks that still have a checkpoint to write.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from multiprocessing.connection import wait
from pathlib import Path

import torch

from foldstack.errors import FoldstackError
from foldstack.files import read_json, write_json
from foldstack.gpus import inventory
from foldstack.jobs.progress import run_reporter
from foldstack.training import distributed
from foldstack.training.checkpoint import StopSignal
from foldstack.training.run import Place, Run, RunFiles
from foldstack.training.train import train_fold

START_METHOD = "spawn"  # a process with CUDA or threads must not be forked
LOOK_EVERY = 0.2  # seconds
GRACE = 10.0  # seconds that the other ranks have to notice that one has ended


def train_on(claimed: str, run: Run, files: RunFiles, place: Place) -> None:
    """`train_fold` by as many ranks as the run asks for, in this process where that is one; they share its `threads`.

    Args:
        claimed: "cuda" or "cpu", as `claim` says.

    Raises:
        FoldstackError: that of a rank, a rank was killed, or torch cannot use the GPU.
        RuntimeError: any other failure of a rank; its traceback is in the log.
        SystemExit: 128 + signal after SIGTERM or SIGINT, with a checkpoint written.
    """
    device, size = torch_device(claimed), distributed.world_size(run.config["gpus"])
    if size == 1:
        train_fold(run, files, place, device=device, report=run_reporter(place.progress))
        return
    with tempfile.TemporaryDirectory(prefix="foldstack-", ignore_cleanup_errors=True) as folder, StopSignal() as stop:
        # The kernel sends ranks a SIGINT when this process dies; they save and end.
        context = torch.multiprocessing.start_processes(
            _work,
            (size, folder, device, run, files, place),
            nprocs=size,
            join=False,
            start_method=START_METHOD,
        )
        try:
            _watch(context.processes, stop)
        finally:
            died = _end(context.processes)
        results = [_result(folder, rank) for rank in range(size)]
    stopped = [result["stopped"] for result in results if "stopped" in result]
    if stopped:
        raise SystemExit(stopped[0])
    if died and stop.number is not None:
        raise SystemExit(128 + stop.number)  # it was too early to save anything
    if died:
        _fail(run, died, results)


def _work(rank: int, size: int, folder: str, device: str, run: Run, files: RunFiles, place: Place) -> None:
    """Run one rank. Its result goes into a file; a normal exit of Python could wait for ranks that have ended."""
    report = run_reporter(place.progress) if rank == 0 else None
    result: dict = {}
    # Only one rank prints.
    quiet = contextlib.nullcontext() if rank == 0 else contextlib.redirect_stdout(open(os.devnull, "w"))  # noqa: SIM115
    try:
        with quiet, distributed.joined(rank, size, Path(folder) / "meeting", device) as group:
            try:
                train_fold(run, files, place, device=device, report=report, group=group)
            except SystemExit as stop:
                result["stopped"] = stop.code
            group.wait()
    except Exception as error:
        traceback.print_exc()
        clear = isinstance(error, FoldstackError)
        result["sentence" if clear else "error"] = str(error) if clear else f"{type(error).__name__}: {error}"
    result["time"] = time.time()
    write_json(_result_file(folder, rank), result)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if {"sentence", "error"} & set(result) else 0)


def _watch(processes, stop: StopSignal) -> None:
    """Pass signals on to the ranks until all have ended without error, or one has failed."""
    told = None
    while True:
        running = [process for process in processes if process.exitcode is None]
        if not running or any(process.exitcode for process in processes):
            return
        if stop.number is not None and stop.number != told:
            told = stop.number
            for process in running:
                _send(process, told)
        wait([process.sentinel for process in running], LOOK_EVERY)


def _end(processes) -> dict[int, int]:
    """Wait for the ranks to end by themselves, since a lost connection is an error; then kill them.

    Returns:
        Exit codes other than 0, by rank, of those that were not killed.
    """
    died = {}
    until = time.monotonic() + GRACE
    for rank, process in enumerate(processes):
        process.join(max(0.0, until - time.monotonic()))
        if process.exitcode is None:
            _send(process, signal.SIGKILL)
            process.join(GRACE)  # with a limit: a process may hang in the driver
        elif process.exitcode:
            died[rank] = process.exitcode
    return died


def _send(process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


def _fail(run: Run, died: dict[int, int], results: list[dict]) -> None:
    """Raise the first cause: a rank whose peer has ended fails too, with an error about the connection."""
    for rank, code in died.items():
        if code < 0:
            raise FoldstackError(
                f"{run}: the process of GPU {rank} (of {len(results)}) was killed by signal {-code} "
                f"({signal.Signals(-code).name}), so the others were ended; if it ran out of memory, give the job "
                "more, and run the same command again: it resumes from its last checkpoint."
            )
    failed = sorted((rank for rank in died if "time" in results[rank]), key=lambda rank: results[rank]["time"])
    for rank in failed:
        if "sentence" in results[rank]:
            raise FoldstackError(results[rank]["sentence"])
    for rank in failed:
        raise RuntimeError(f"{run}: the process of GPU {rank} failed: {results[rank].get('error')}")
    raise RuntimeError(f"{run}: the processes of its GPUs exited with {died} and no error message")


def _result_file(folder: str, rank: int) -> Path:
    return Path(folder) / f"rank{rank}.json"


def _result(folder: str, rank: int) -> dict:
    path = _result_file(folder, rank)
    return read_json(path) if path.exists() else {}


def torch_device(claimed: str) -> str:
    """Where torch trains, once GPUs are claimed: "cuda", or "cpu" if none was claimed or the GPUs are stand-ins.

    Raises:
        FoldstackError: a GPU was claimed, and torch cannot use it.
    """
    if claimed == "cpu" or torch.cuda.is_available():
        return claimed
    if inventory.FAKE in os.environ:
        print("stand-in GPUs: training on the CPU")
        return "cpu"
    raise FoldstackError(
        f"torch {torch.__version__} cannot use the GPU {os.environ.get('CUDA_VISIBLE_DEVICES', '')!r} that this run "
        "was given: its driver is missing or too old for this torch; update the driver, or set device: cpu."
    )
