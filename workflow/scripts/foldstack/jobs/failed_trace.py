"""A model that cannot be exported is not trained: its trace, which goes first, leaves a note that stops its runs.

The note is for this invocation only. So runs that are asked for without an export, such as for the report, train.
"""

from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.files import write_text

FOLDER = Path("work") / "failed_traces"  # in the results


def note(results: Path, model: str, reason: str) -> None:
    write_text(results / FOLDER / model, reason)


def check(results: Path, model: str) -> None:
    """Raise FoldstackError where the trace of `model` failed."""
    path = results / FOLDER / model
    if path.exists():
        raise FoldstackError(f"Not trained, since its trace failed: {path.read_text(encoding='utf-8')}")


def remove(results: Path, model: str = "*") -> None:
    """Remove the note of a model, or of all."""
    for path in (results / FOLDER).glob(model):
        path.unlink(missing_ok=True)
