"""TensorBoard event files: the curves of a run while it trains, for `tensorboard --logdir results/x/tensorboard`.

They are only for looking at: they hold wall times, nothing is computed from them, and they are not declared outputs.
Every attempt at a run writes a file of its own, with all epochs so far, and then empties those of earlier attempts; so
no point appears twice, and a record that a killed process left half written disappears. They are not removed, since a
TensorBoard that has one open would wait for it and never go on to the next.

Of the package tensorboard only messages and their framing are imported: torch's and its own writers of event files take
much longer to import, which counts in a run of some seconds.
"""

import contextlib
import csv
import datetime
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

PATTERN = "events.out.tfevents.*"


class EventFile:
    """The event file of one attempt at a run, in a folder that belongs to the run.

    A run never fails because its curves could not be written: the log says so, and the next epoch tries again.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._writer, self._written, self._said = None, 0, False

    def write(self, rows: Sequence[dict]) -> None:
        """Bring the file up to date.

        Args:
            rows: one a finished epoch, from the first: `epoch` (1-based), `time` (seconds since 1970), and scalars by
                their names, of which None is left out.
        """
        try:
            writer = self._writer or self._begin()
            for row in rows[self._written :]:
                writer.write(_scalars(row))
            writer.flush()
            self._written = len(rows)
        except OSError as error:
            if not self._said:
                print(f"TensorBoard's events cannot be written now ({error}); the run goes on without them")
            self._said = True
            self.close()

    def close(self) -> None:
        writer, self._writer, self._written = self._writer, None, 0
        if writer is not None:
            with contextlib.suppress(OSError):  # the same error as before
                writer.close()

    def _begin(self):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        name = PATTERN.replace("*", f"{time.time_ns()}.{socket.gethostname()}.{os.getpid()}")
        self._writer = RecordWriter(open(self.folder / name, "wb"))  # noqa: SIM115 (stays open while the run trains)
        self._writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        # A running TensorBoard then drops the epochs from this step on, which is all of them.
        start = SessionLog(status=SessionLog.START)
        self._writer.write(Event(wall_time=time.time(), step=1, session_log=start).SerializeToString())
        self._writer.flush()
        for path in self.folder.glob(PATTERN):
            if path.name != name:
                os.truncate(path, 0)
        return self._writer


def write_history(history, finished: str, folder) -> None:
    """The curves of a run that was reused, from its history.csv; `finished` (ISO 8601) stands for all times."""
    at = datetime.datetime.fromisoformat(finished).timestamp()
    with open(history, newline="", encoding="utf-8") as stream:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(stream)]
    events = EventFile(folder)
    events.write([{**row, "time": at} for row in rows])
    events.close()


def _scalars(row: dict) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event

    event = Event(wall_time=row["time"], step=int(row["epoch"]))
    for name, value in row.items():
        if name not in ("epoch", "time") and value is not None:
            event.summary.value.add(tag=name, simple_value=value)
    return event.SerializeToString()
