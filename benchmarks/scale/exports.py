"""One network of an architecture as ONNX, and ten of it, by the real rule's script; weights are fresh."""

from pathlib import Path

from scale import cell

CLASSES, SAMPLES, NETWORKS = 200, 4000, 10


def measure(work: Path, older: Path | None, architecture: str, limits: cell.Limits) -> None:
    """Fill work/cells/export-<architecture>.json; `older` is workflow/scripts of the older code, or None."""
    today = cell.Cell(work / "export", CLASSES, SAMPLES, 1, NETWORKS, architecture=architecture)
    today.figures = cell.Figures(work / "cells" / f"export-{architecture}.json")
    names = [f"{age}{networks}" for age in ("", "before ")[: 1 + bool(older)] for networks in (1, NETWORKS)]
    if all(name in today.figures for name in names):
        return
    cell.prepare(today, limits)
    for prefix, one in (("", today), ("before ", cell.older(today, older) if older else None)):
        if one is None:
            continue
        if one is not today:
            cell.copy_data(today, one)
        cell.helper("made.py", one.code, one.results, one.models, *(["--digest"] if prefix else []))
        cell.helper("weights.py", one.code, one.results, architecture, "{}")
        if one is today:
            today.figures.keep("trace_model", lambda: today.each_model("trace_model", limits, today.traced()))
        for networks in (1, NETWORKS):
            runs = range(networks)
            today.figures.keep(
                f"{prefix}{networks}", lambda one=one, runs=runs: one.run("export_model", limits, model="m0", runs=runs)
            )
