"""Real devices for Snakemake's count: `gpu: n` becomes n GPUs for one job, before torch is imported.

Snakemake counts the resource `gpu` but tells no job which GPU it has (snakemake#281). Here a job leases its GPUs
(leases.py) from those that the config and CUDA_VISIBLE_DEVICES leave it, and waits for GPUs that other people's work
keeps busy. What Slurm assigned is taken as it is.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence

from foldstack.errors import FoldstackError
from foldstack.gpus import inventory
from foldstack.gpus.leases import Ticket, lease

SAY_AFTER_SECONDS = 3.0  # a GPU whose last job has just ended may look busy for a moment
DEFAULT_PLAN = {"devices": None, "others": None, "share": 1, "busy": None}


@contextlib.contextmanager
def claim(
    n_gpus: int, plan: dict | None = None, *, memory: float = 0, what: str = "", say: Callable[[str], object] = print
) -> Iterator[str]:
    """Lease `n_gpus` GPUs for the duration of the block; sets CUDA_VISIBLE_DEVICES to their UUIDs.

    Args:
        plan: `devices` (those of the model) and `others` (all that the config allows), lists of the config or None;
            `share`, the runs that fit on one GPU; `busy`, the config's block, or None to take GPUs as they are.
        memory: MiB that the run will use of each GPU; 0 = unknown. Only used where GPUs are shared.
        what: a name of the job, shown to those who wait for its GPUs.
        say: called with one sentence on why the job waits.

    Yields:
        "cuda", or "cpu" where `n_gpus` is 0 or this process may use no GPU.

    Raises:
        FoldstackError: a GPU of the plan does not exist, there are fewer than `n_gpus`, or the suitable ones were busy
            with other people's work for too long.
    """
    plan = DEFAULT_PLAN | (plan or {})
    # Exactly what Slurm gave this job; a whole snakemake in one allocation leases from what that was given.
    given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if "SLURM_JOB_ID" in os.environ and 0 < len(given) <= n_gpus:
        yield "cuda"
        return
    first = inventory.choose(plan["devices"], "devices") if n_gpus else []
    if not first:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        yield "cpu"
        return
    if len(first) < n_gpus:
        raise FoldstackError(f"The run asks for {n_gpus} GPUs, but may use {len(first)}; lower gpus or add devices.")
    usable = _Usable(n_gpus, first, inventory.choose(plan["others"], "devices"), plan["busy"], memory, say)
    with lease(n_gpus, 1 / plan["share"], usable, memory=memory, what=what) as leased:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(leased)
        print(f"GPUs: {', '.join(leased)}")
        yield "cuda"


class _Usable:
    """The GPUs that a job could take now; called at every look while it waits."""

    def __init__(self, n: int, first: list[str], others: list[str], busy: dict | None, memory: float, say):
        self.n, self.gpus, self.busy, self.memory, self.say = n, first, busy or {}, memory, say
        self.others = [gpu for gpu in others if gpu not in first] if busy and busy["then"] == "next" else []
        self.started = time.monotonic()
        self.busy_since: float | None = None
        self.said = ""

    def __call__(self, holders: Sequence[Ticket]) -> list[str]:
        in_use: dict[str, inventory.Reading] = {}
        found = [gpu for gpu in self.gpus if self._is_usable(gpu, holders, in_use)]
        if len(found) >= self.n or not in_use:
            self.busy_since = None
            self._say_who(holders)
        else:
            self._wait_for_others(in_use)
        return found

    def _is_usable(self, gpu: str, holders: Sequence[Ticket], in_use: dict) -> bool:
        ours = [ticket for ticket in holders if gpu in ticket.gpus]
        reading = inventory.reading(gpu) if self.busy else None
        if reading is None:
            return True
        if ours:  # what NVML sees is, at least in part, our own work
            promised = sum(ticket.memory for ticket in ours)
            return reading.total - max(reading.used, promised) >= self.memory
        if reading.utilisation < self.busy["utilisation"] and reading.used < self.busy["memory"] * reading.total:
            return True
        in_use[gpu] = reading
        return False

    def _wait_for_others(self, in_use: dict) -> None:
        """Other people's work keeps the GPUs busy: say so, and after `busy.wait` use other GPUs too, or give up."""
        now = time.monotonic()
        self.busy_since = self.busy_since or now
        waited = now - self.busy_since
        which = "; ".join(f"GPU {gpu} is busy with other work ({reading})" for gpu, reading in in_use.items())
        if waited >= self.busy["wait"] and self.others:
            self._say(f"{which}; after {waited:.0f} s using the other GPUs too")
            self.gpus, self.others, self.busy_since = [*self.gpus, *self.others], [], None
        elif waited >= self.busy["wait"]:
            raise FoldstackError(
                f"For {waited:.0f} s {which}; free the GPU, name others under devices, or raise busy.wait."
            )
        elif waited >= min(SAY_AFTER_SECONDS, self.busy["wait"] / 2):
            self._say(f"waiting at most {self.busy['wait']:g} s: {which}", once=True)

    def _say_who(self, holders: Sequence[Ticket]) -> None:
        if time.monotonic() - self.started < SAY_AFTER_SECONDS:
            return
        names = [ticket.what or f"process {ticket.pid}" for ticket in holders if set(ticket.gpus) & set(self.gpus)]
        if names:
            self._say(f"waiting for {', '.join(names)} to release a GPU", once=True)

    def _say(self, text: str, once: bool = False) -> None:
        """`once`: repeat nothing but a new kind of wait, since the figures after the colon change at every look."""
        kind = text.split(":")[0] if once else text
        if kind != self.said:
            self.said = kind
            self.say(text)
