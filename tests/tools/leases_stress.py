"""Claimants of stand-in GPUs, killed at random: no GPU is ever given away twice, none is lost, nobody starves.

    make stress             8 claimants, 4 GPUs, 1,200 leases; writes docs/benchmarks/leases.md

tests/unit/gpus/test_leases.py runs a short form.
The evidence does not rest on the tickets that it is to judge: holders note
what they hold in shared memory, under a lock of its own, and a claimant is killed and its note wiped under that lock.
"""

import argparse
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from foldstack.gpus import leases  # noqa: E402

GPUS = ["A", "B", "C", "D"]
WANTS = [(1, 1.0), (1, 1.0), (1, 0.5), (1, 0.25), (2, 1.0)]  # GPUs, part of each
HELD_SECONDS = 0.03
context = multiprocessing.get_context("fork")


@dataclass
class Outcome:
    """What was seen: counts, and the seconds that each lease was waited for."""

    leases: int = 0
    kills: int = 0
    doubly_held: int = 0
    left_behind: int = 0
    waits: list[float] = field(default_factory=list)
    fewest: int = 0  # leases of the claimant that got the fewest


def stress(claimants: int, wanted: int, seed: int) -> Outcome:
    """Let `claimants` processes lease and give back until `wanted` leases were given; kill one every now and then."""
    rng, outcome = random.Random(seed), Outcome()
    held = context.Array("d", claimants * len(GPUS), lock=False)  # parts, by claimant and GPU
    counts = context.Array("l", claimants, lock=False)
    bad, evidence, waits = context.Value("l", 0), context.Lock(), context.SimpleQueue()

    def start(index: int, generation: int):
        process = context.Process(target=_claim, args=(index, generation, seed, held, counts, bad, evidence, waits))
        process.start()
        return process

    def kill(index: int) -> None:
        """Its GPUs are free from here on, so its note goes before anybody can look."""
        with evidence:
            processes[index].kill()
            processes[index].join()
            held[index * len(GPUS) : (index + 1) * len(GPUS)] = [0.0] * len(GPUS)

    processes = [start(index, 0) for index in range(claimants)]
    try:
        while sum(counts) < wanted:
            time.sleep(rng.uniform(0, 0.3))
            while not waits.empty():
                outcome.waits.append(waits.get())
            victim = rng.randrange(claimants)
            kill(victim)
            outcome.kills += 1
            processes[victim] = start(victim, outcome.kills)
    finally:
        for index in range(claimants):
            kill(index)
    outcome.leases, outcome.fewest, outcome.doubly_held = sum(counts), min(counts), bad.value
    with leases.lease(len(GPUS), 1.0, lambda holders: [] if holders else GPUS):
        pass  # every GPU is free at once, or this waits for ever
    outcome.left_behind = len(list(leases._folder().glob("*.json")))
    return outcome


def _claim(index, generation, seed, held, counts, bad, evidence, waits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    rng = random.Random(f"{seed} {index} {generation}")
    mine = slice(index * len(GPUS), (index + 1) * len(GPUS))
    while True:
        n, part = rng.choice(WANTS)
        started = time.monotonic()
        with leases.lease(n, part, lambda holders: GPUS) as gpus:
            with evidence:
                waits.put(time.monotonic() - started)
                before = leased_parts(held)
                got = [part if gpu in gpus else 0.0 for gpu in GPUS]
                bad.value += any(a + b > 1 + 1e-9 for a, b in zip(before, got, strict=True)) or sum(got) != n * part
                held[mine] = got
                counts[index] += 1
            time.sleep(rng.uniform(0, 2 * HELD_SECONDS))
            with evidence:
                held[mine] = [0.0] * len(GPUS)


def leased_parts(held) -> list[float]:
    return [sum(held[i] for i in range(gpu, len(held), len(GPUS))) for gpu in range(len(GPUS))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claimants", type=int, default=8)
    parser.add_argument("--leases", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ[leases.FOLDER] = folder
        started = time.monotonic()
        outcome = stress(options.claimants, options.leases, options.seed)
    minutes = (time.monotonic() - started) / 60
    lines = [
        ("claimants, GPUs", f"{options.claimants}, {len(GPUS)}"),
        ("leases given", f"{outcome.leases:,}"),
        ("claimants killed (SIGKILL)", f"{outcome.kills:,}"),
        ("leases of a GPU, or part, that another held", f"{outcome.doubly_held}"),
        ("tickets left behind in the end", f"{outcome.left_behind}"),
        ("leases of the claimant that got the fewest", f"{outcome.fewest:,}"),
        ("seconds waited: median, longest", f"{statistics.median(outcome.waits):.2f}, {max(outcome.waits):.2f}"),
    ]
    print(*(f"{name}: {value}" for name, value in lines), sep="\n")
    rows = "\n".join(f"| {name} | {value} |" for name, value in lines)
    text = (
        "# Leases under stress\n\n`make stress`: processes lease one or two of four stand-in GPUs, or a half or a "
        f"quarter of one, hold them for up to {2 * HELD_SECONDS * 1000:.0f} ms and come back, while one after "
        f"another is killed at a random moment and replaced. {minutes:.1f} minutes on {os.cpu_count()} cores, shared, "
        "no GPU.\n\n"
        f"| | |\n|---|---|\n{rows}\n"
    )
    page = ROOT / "docs" / "benchmarks" / "leases.md"
    by_hand = page.read_text(encoding="utf-8").partition("\n\nTwo snakemakes")[2] if page.exists() else ""
    page.write_text(text + (f"\nTwo snakemakes{by_hand}" if by_hand else ""), encoding="utf-8")
    sys.exit(bool(outcome.doubly_held or outcome.left_behind))


if __name__ == "__main__":
    main()
