"""What every job shares: its log, its errors, atomic outputs, and the versions it ran with."""

import contextlib
import errno
import os
import sys
import traceback
from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.jobs import lock, progress
from foldstack.reruns import code_digest


@contextlib.contextmanager
def job(snakemake):
    """Run a script's body: all output goes to the rule's log, whose last line is the reason where the job fails.

    Yields the job's `code_digest.Code`.

    Refuses to start when the code on disk is no longer the code that Snakemake recorded for this job, since the
    result would be filed under the wrong digest for good. Exits with 1 on any exception, its traceback in the log.
    """
    log = Path(snakemake.log[0])
    results = next((folder for folder in log.parents if (folder / ".lock").exists()), None)
    stages = results and progress.stage_file(results, log)
    with _output_to(log), progress.recorded_in(stages), lock.ending_with(results or log.parent):
        try:
            code = _planned_code(snakemake.params.get("code"))
            code_digest.check_unchanged(code)
            yield code
            if code.files:
                code_digest.check_imported(code)
        except Exception as error:
            traceback.print_exc()
            sentence = _sentence(error)
            if sentence:
                print(sentence, file=sys.stderr)
            raise SystemExit(1) from None


def _planned_code(digest: str | None) -> code_digest.Code:
    """The code that Snakemake planned this job with; none of a job without the param `code`."""
    code = code_digest.recall(digest) if digest else code_digest.Code("", [])
    if code is None:
        raise FoldstackError(
            f"{code_digest.FOLDER}/{digest}.json, which lists this job's code, was deleted; run the same command again."
        )
    return code


def _sentence(error: BaseException | None) -> str:
    """What a person can do about a failure of the machine; "" for an error that needs no explanation."""
    while error is not None and not isinstance(error, FoldstackError):
        words, number = str(error), getattr(error, "errno", None)
        file = getattr(error, "filename", None)
        where = f" ({file})" if file else ""
        again = "then run the same command again: what is finished is kept."
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left on device" in words:
            return f"The disk is full, or a file reached its size limit{where}; free some space, {again}"
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"Not allowed to read or write{where or ' a file'}: {os.strerror(number)}; change that, {again}"
        if number == errno.ENOENT:
            return f"A file vanished while the workflow ran{where}; put it back, {again}"
        if isinstance(error, MemoryError):
            return f"The machine has too little memory for this job; give it more or lower --cores, {again}"
        error = error.__cause__
    return ""


@contextlib.contextmanager
def _output_to(log: Path):
    """Send file descriptors 1 and 2 (also those of C libraries) to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(1), os.dup(2)
    with open(log, "wb") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
