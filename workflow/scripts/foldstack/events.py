"""TensorBoard event files: the curves of a run while it trains, for `tensorboard --logdir results/x/tensorboard`.

They are there to be looked at: they hold wall times, nothing is computed from them, and they are no declared outputs.
Every attempt at a run writes a file of its own, with all epochs so far, and then empties those of earlier attempts; so
no point comes twice, and a record that a killed process left half written is gone. They are not removed, since a
TensorBoard that has one open would wait for it and never go on to the next.

Of the package tensorboard only the messages are imported. Its writer takes three times as long to import, which counts
in a run of some seconds; what it would add is the frame around a record, `_record`.
"""

import contextlib
import csv
import datetime
import functools
import os
import socket
import struct
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
        self._stream, self._written, self._said = None, 0, False

    def write(self, rows: Sequence[dict]) -> None:
        """Bring the file up to date.

        Args:
            rows: one a finished epoch, from the first: `epoch` (1-based), `time` (seconds since 1970), and scalars by
                their names, of which None is left out.
        """
        try:
            if self._stream is None:
                self._begin()
            for row in rows[self._written :]:
                self._stream.write(_scalars(row))
            self._stream.flush()
            self._written = len(rows)
        except OSError as error:
            if not self._said:
                print(f"TensorBoard's events are not written for now ({error}); the run goes on without")
            self._said = True
            self.close()

    def close(self) -> None:
        stream, self._stream, self._written = self._stream, None, 0
        if stream is not None:
            with contextlib.suppress(OSError):  # what could not be written before
                stream.close()

    def _begin(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self.folder.mkdir(parents=True, exist_ok=True)
        name = PATTERN.replace("*", f"{time.time_ns()}.{socket.gethostname()}.{os.getpid()}")
        self._stream = open(self.folder / name, "wb")  # noqa: SIM115 (stays open while the run trains)
        self._stream.write(_record(Event(wall_time=time.time(), file_version="brain.Event:2")))
        # A TensorBoard that runs already drops what it has of the epochs from here on, which is everything.
        start = SessionLog(status=SessionLog.START)
        self._stream.write(_record(Event(wall_time=time.time(), step=1, session_log=start)))
        self._stream.flush()
        for path in self.folder.glob(PATTERN):
            if path.name != name:
                os.truncate(path, 0)


def write_history(history, finished: str, folder) -> None:
    """The curves of a run that was taken up again, from its history.csv; `finished` (ISO 8601) stands for all times."""
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
    return _record(event)


def _record(event) -> bytes:
    """The frame of a TFRecord: length, its checksum, the message, its checksum; little-endian."""
    content = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", _masked_crc(length)) + content + struct.pack("<I", _masked_crc(content))


def _masked_crc(content: bytes) -> int:
    """CRC-32C (RFC 3720), rotated and shifted as TFRecord wants it."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return tuple(table)
