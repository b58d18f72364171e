"""A stack without the members that failed, where the config allows it (`stack.quorum` below 1).

Such a run is recorded as failed (`jobs.failed_run`). A seed of a model with any failed run is left out altogether: a
stacker must not learn from a member with missing folds. Failed runs are removed when an invocation ends, so that the
next one tries them again.
"""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.files import read_json
from foldstack.runs import RUN_FILES, run_records

Member = tuple[str, int]


def failed(run_files: Iterable) -> list[dict]:
    """The run.json of the failed ones among these runs, in their order."""
    records = (read_json(path) for path in run_files)
    return [record for record in records if record.get("status") == "failed"]


def whole_members(run_files: Sequence) -> list[str]:
    """Those of the run.json files whose (model, seed) has no failed run."""
    out = {(record["model"], record["seed"]) for record in failed(run_files)}
    records = ((path, read_json(path)) for path in run_files)
    return [path for path, record in records if (record["model"], record["seed"]) not in out]


def is_empty(path) -> bool:
    """Is this the empty placeholder for a file of a member that was left out?"""
    return Path(path).stat().st_size == 0


def present(*groups: Sequence) -> list[list]:
    """Each group of files less the empty ones."""
    return [[path for path in group if not is_empty(path)] for group in groups]


def with_quorum(seeds: dict[str, list[int]], oof_files: Sequence, quorum: float) -> tuple[dict, list[Member]]:
    """The members that take part and those that are left out, whose files of the stage oof are empty.

    Args:
        seeds: {model: its seeds}, as configured.
        oof_files: `.../<model>/seed<seed>.arrow`.

    Raises:
        FoldstackError: too few members are complete, or none.
    """
    empty = {tuple(Path(path).parts[-2:]) for path in oof_files if is_empty(path)}
    everyone = [(model, seed) for model, own in seeds.items() for seed in own]
    out = [(model, seed) for model, seed in everyone if (model, f"seed{seed}.arrow") in empty]
    whole = len(everyone) - len(out)
    if not whole or whole < quorum * len(everyone):
        names = ", ".join(f"{model} seed {seed}" for model, seed in out)
        raise FoldstackError(
            f"Only {whole} of {len(everyone)} members (model, seed) are complete, fewer than stack.quorum {quorum:g} "
            f"asks for; {names} have missing runs: check their logs, fix or remove them, and run again."
        )
    return without(seeds, out), out


def without(seeds: dict[str, list[int]], left_out: Iterable[Member]) -> dict[str, list[int]]:
    """`seeds` less the members that are left out; a model without any seed goes."""
    out = {tuple(member) for member in left_out}
    kept = {model: [seed for seed in own if (model, seed) not in out] for model, own in seeds.items()}
    return {model: own for model, own in kept.items() if own}


def described(left_out: Iterable[Member], run_files: Sequence) -> list[dict]:
    """For metrics.json: `model`, `seed`, `fold` and `reason` of the failed runs of the members left out."""
    out = {tuple(member) for member in left_out}
    keys = ("model", "seed", "fold", "reason")
    return [{key: run[key] for key in keys} for run in failed(run_files) if (run["model"], run["seed"]) in out]


def banner(left_out: Sequence[dict]) -> str:
    """One paragraph on the members that are left out; empty where there are none."""
    if not left_out:
        return ""
    runs = "; ".join(f"{run['model']} seed {run['seed']} (fold {run['fold']}: {run['reason']})" for run in left_out)
    return (
        f"INCOMPLETE: the stack, its scores and the export are without {runs.rstrip('.')}. "
        "The same command tries them again."
    )


def remove_failed(results: Path) -> list[Path]:
    """Remove the files of failed runs, and the empty ones made of them, so that Snakemake makes them again.

    A completed run is never touched.
    """
    removed = []
    for path in [*run_records(results), *sorted(results.glob("student/fold*/run.json"))]:
        with contextlib.suppress(FoldstackError):
            if failed([path]):
                for name in RUN_FILES.values():
                    (path.parent / name).unlink(missing_ok=True)
                removed.append(path.parent)
    for path in [path for stage in ("oof/*/*", "test/*/*", "export/models/*") for path in results.glob(stage)]:
        if removed and is_empty(path):
            path.unlink()
    return removed
