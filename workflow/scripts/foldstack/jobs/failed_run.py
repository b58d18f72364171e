"""A run that fails by itself is recorded as a result (where `stack.quorum` is below 1).

For example, it diverged, ran out of memory or was given bad weights: run.json then has `status: failed` and the reason,
and the other files exist but are empty, so that Snakemake goes on. A job that is killed still leaves nothing.
"""

import contextlib
import datetime
import traceback
from collections.abc import Iterator

from foldstack.errors import FoldstackError
from foldstack.files import write_json, write_text


@contextlib.contextmanager
def failure_recorded(run, outputs: dict, *, tolerate: bool) -> Iterator[None]:
    """With `tolerate`, an exception of the block becomes a failed run; signals stay what they are.

    Args:
        run: a Run of training/run.py.
        outputs: paths by the names `weights`, `oof`, `test`, `history` and `run`.
    """
    started = datetime.datetime.now(datetime.UTC)
    try:
        yield
    except Exception as error:
        if not tolerate:
            raise
        traceback.print_exc()
        finished = datetime.datetime.now(datetime.UTC)
        for key in set(outputs) - {"run"}:
            write_text(outputs[key], "")
        record = {
            "model": run.model,
            "seed": run.seed,
            "fold": run.fold,
            "status": "failed",
            "reason": str(error) if isinstance(error, FoldstackError) else f"{type(error).__name__}: {error}",
            "seconds": round((finished - started).total_seconds(), 3),
            "started": started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
        }
        write_json(outputs["run"], record)
