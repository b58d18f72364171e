"""Leases of GPUs among all jobs of one host: first come, first served, and nothing left behind by a crash.

Each claimant keeps a ticket, a small JSON file in a folder that all users share, under an exclusive `flock` for as long
as it lives. The kernel drops that lock when the process dies, `kill -9` included, so a ticket that nobody locks counts
for nothing. Who gets which GPU is worked out from the live tickets by every claimant alike, under one short lock.

Waiting tickets are served in the order of their arrival. One that cannot be served yet reserves what it could use,
so a claim of two GPUs, or of a whole one among shares, is not starved by small ones that came later; GPUs that no
earlier ticket can use are free to later ones.
"""

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

POLL_SECONDS = 0.2
ROUNDING = 1e-9
FOLDER = "FOLDSTACK_LEASES"


@dataclass
class Ticket:
    """What a claimant wants, or holds.

    Attributes:
        name: of its file; sorts by arrival.
        n: number of GPUs.
        part: of each GPU, 0 < part <= 1.
        gpus: those that it could use, in order of preference; once it holds, those that it has.
        memory: MiB that it will use of each GPU; 0 = unknown.
        holds: whether it holds `gpus`.
        what: a name of the job, for people.
    """

    name: str
    n: int
    part: float
    gpus: list[str]
    memory: float = 0
    holds: bool = False
    what: str = ""
    pid: int = field(default_factory=os.getpid)


@contextlib.contextmanager
def lease(
    n: int, part: float, usable: Callable[[list[Ticket]], Sequence[str]], *, memory: float = 0, what: str = ""
) -> Iterator[list[str]]:
    """Hold `part` of each of `n` GPUs while the block runs, waiting as long as it takes.

    Args:
        usable: called with the live tickets that hold GPUs at every look, about five times a second; returns the
            GPUs that it could use now, the preferred first. It may raise to give up.

    Yields:
        The GPUs' names.
    """
    folder = _folder()
    with _ticket(folder, Ticket("", n, part, [], memory, what=what)) as (ticket, save):
        while True:
            with _exclusive(folder):
                live = _live(folder, ticket)
                ticket.gpus = list(usable([other for other in live if other.holds]))
                granted = grant([*live, ticket], ticket)
                if granted:
                    ticket.gpus, ticket.holds = granted, True
                save()
            if ticket.holds:
                break
            time.sleep(POLL_SECONDS)
        yield ticket.gpus


def grant(tickets: Sequence[Ticket], mine: Ticket) -> list[str] | None:
    """The GPUs that `mine` gets now, given all live tickets, or None.

    A share goes to the fullest GPU that it fits, so that whole GPUs stay free for those that need them.
    """
    free: dict[str, float] = {}
    for ticket in tickets:
        if ticket.holds:
            for gpu in ticket.gpus:
                free[gpu] = free.get(gpu, 1.0) - ticket.part
    for ticket in sorted((one for one in tickets if not one.holds), key=lambda one: one.name):
        fitting = [gpu for gpu in ticket.gpus if free.get(gpu, 1.0) >= ticket.part - ROUNDING]
        enough = len(fitting) >= ticket.n
        order = fitting if enough else ticket.gpus
        # Stable sorts: equal GPUs stay in the order of preference.
        chosen = sorted(order, key=lambda gpu: free.get(gpu, 1.0), reverse=not enough)[: ticket.n]
        if ticket is mine:
            return chosen if enough else None
        for gpu in chosen:
            free[gpu] = max(0.0, free.get(gpu, 1.0) - ticket.part)
    raise ValueError("mine is not among the waiting tickets")


def _folder() -> Path:
    """Where all users of this host keep their tickets."""
    folder = Path(os.environ.get(FOLDER) or Path(tempfile.gettempdir()) / "foldstack-leases")
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    return folder


@contextlib.contextmanager
def _ticket(folder: Path, ticket: Ticket) -> Iterator[tuple[Ticket, Callable[[], None]]]:
    with _exclusive(folder):  # so that nobody sees the ticket before it is locked
        ticket.name = f"{time.time_ns():020}-{os.getpid()}.json"
        path = folder / ticket.name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        os.fchmod(descriptor, 0o644)  # whatever the umask: other users must see that the GPU is taken
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def save() -> None:
        text = json.dumps(asdict(ticket)).encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))

    try:
        yield ticket, save
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _live(folder: Path, mine: Ticket) -> list[Ticket]:
    """The tickets of all other live claimants; those of dead ones are removed."""
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.name == mine.name:
            continue
        with contextlib.suppress(OSError):  # its job has just ended
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _dead(descriptor):
                    path.unlink()  # another user's stays, which harms nobody
                else:
                    found.append(Ticket(**json.loads(os.read(descriptor, 65536) or b"{}")))
            except (ValueError, TypeError):  # just created, not written yet
                pass
            finally:
                os.close(descriptor)
    return found


def _dead(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One claimant at a time; held for milliseconds."""
    path = folder / "lock"
    try:
        # Without O_CREAT first: Linux may refuse it for another user's file in a folder like /tmp.
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
