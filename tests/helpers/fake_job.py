"""What Snakemake hands to scripts/train_fold.py, and a process that can be killed in the middle of it."""

import json
import os
import signal
import sys
import traceback
import types
from pathlib import Path

from training_inputs import CONFIG, OUTPUTS


class Named(dict):
    __getattr__ = dict.__getitem__


def training_job(inputs, folder: Path, **config):
    """The `snakemake` object of a run of model `tiny` whose outputs, log and progress lie in `folder`."""
    params = {"config": json.dumps(CONFIG | config), "code": [], "work": str(folder / "work")}
    params |= {"gpus": json.dumps({"share": 1}), "events": str(folder / "tensorboard")}
    return types.SimpleNamespace(
        input=Named(inputs),
        output=Named({key: folder / name for key, name in OUTPUTS.items()}),
        wildcards=Named(model="tiny", seed="0", fold="1"),
        params=Named(params, progress=str(folder / "progress.json")),
        resources=Named(gpu=0, gpu_share=0),
        threads=1,
        log=[str(folder / "log.txt")],
        rule="train_fold",
    )


def in_child(action) -> int:
    """Run `action` in a forked process; returns its exit status, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        code = 1
        try:
            action()
            code = 0
        except SystemExit as stop:
            code = stop.code
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
