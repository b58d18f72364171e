"""docs/benchmarks/scale.md from what was measured so far."""

import itertools
import json
import math
import re
import string
from pathlib import Path

STAGES = {
    "prepare_data": "data",
    "assign_folds": "folds",
    "collect_oof": "out-of-fold tables",
    "fit_stacker": "stack",
    "evaluate": "evaluation",
    "figures": "figures",
    "render_report": "report",
    "trace_model": "traces, before any run",
    "export_model": "export of the networks",
    "export_ensemble": "the one file",
}
HEADER = """# Growth with classes and samples

`make bench-scale` (benchmarks/scale/). Each stage is the real rule's script in a process of its own: wall and CPU
seconds, peak memory of the process (where a stage has several jobs, seconds and bytes together and the peak of the
largest), bytes that it writes. {machines}

The data are JPEGs of 64 px in TinyImageNet's layout as downloaded; "samples" are training samples, and a tenth as many
more (at least one a class) are the test split. Behind training, predictions are made: {models} models × {folds} folds,
with errors that the models share, confusions of each model's own between classes that look alike, and different
sharpness; the networks have fresh weights (`small_cnn`).
"""

EXPLORED = """
## How the shared form was chosen

Explored once, on made predictions like those above (3 models, one fold of five held out, 100 rounds of 4 leaves,
log-loss on the held-out fold); the product keeps what the first row names.

| features a model | 200 classes × 20,000 | the same, no systematic confusions | 200 × 4,000 |
|---|---|---|---|
| probability, relative to the first choice, counts | 0.3275 | 0.3032 | 0.3778 |
| and the entropy | 0.3279 | 0.3032 | 0.3780 |
| and the entropy and the rank | 0.3279 | 0.3033 | 0.3788 |
| all but the counts | 0.3751 | | |
| none: the log-linear pool | 0.3789 | 0.3124 | 0.3894 |
| none: the plain mean | 1.384 | 1.299 | 1.427 |

Starting from the mean instead of the pool left 0.95. Per-class trees and the shared form, with and without systematic
confusions (per-class trees read every model's word on every class, and need samples of each):

| classes | samples a class | pool | shared | per class | seconds of one fit, shared / per class |
|---|---|---|---|---|---|
| 20 | 100 | 0.146 / 0.120 | 0.105 / 0.120 | 0.081 / 0.080 | 0.1 / 0.6 |
| 50 | 20 | 0.275 / 0.252 | 0.263 / 0.260 | 0.303 / 0.304 | 0.1 / 2.6 |
| 50 | 100 | 0.180 / 0.172 | 0.153 / 0.166 | 0.102 / 0.156 | 0.3 / 8 |
| 50 | 400 | 0.222 / 0.210 | 0.165 / 0.191 | 0.062 / 0.138 | 3 / 48 |
| 100 | 20 | 0.284 / 0.227 | 0.272 / 0.224 | 0.318 / 0.383 | 0.2 / 49 |

So per-class trees are kept up to 50 classes, as long as they end in minutes.
"""


def cells(work: Path) -> dict[tuple[int, int], dict]:
    """{(classes, samples): what was measured}."""
    found = {}
    for path in work.glob("cells/C*-N*.json"):
        classes, samples = map(int, re.findall(r"\d+", path.stem))
        found[classes, samples] = _json(path)
    return dict(sorted(found.items()))


def machine(figures: dict) -> str:
    return figures.get("machine", {}).get("name", "a machine that was not noted")


def letters(found: dict) -> dict[str, str]:
    """{machine: the letter that stands for it on the page}."""
    names = sorted({machine(figures) for figures in found.values()})
    return dict(zip(names, string.ascii_uppercase, strict=False))


def growth(points: dict[float, float]) -> float | None:
    """The exponent p of value = a * size**p by least squares on logarithms; None with fewer than two points."""
    pairs = [(math.log(size), math.log(value)) for size, value in points.items() if value > 0]
    if len(pairs) < 2:
        return None
    x, y = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
    return sum((a - x) * (b - y) for a, b in pairs) / sum((a - x) ** 2 for a, _ in pairs)


def measured(figures: dict, stage: str, key: str) -> float | None:
    """A figure of a stage that ended, else None."""
    found = figures.get(stage)
    return None if not found or "stopped" in found or "failed" in found else found.get(key)


def stage_table(found: dict) -> list[str]:
    lines = []
    for stage, title in STAGES.items():
        if not any(stage in figures for figures in found.values()):
            continue
        lines += ["", f"**{title}** (`{stage}`)" if "_" in stage else f"**{title}**", ""]
        lines += ["| classes | samples | wall | CPU | peak memory | written | on |", "|---|---|---|---|---|---|---|"]
        for (classes, samples), figures in found.items():
            if stage in figures:
                place = letters(found)[machine(figures)]
                lines.append(f"| {classes:,} | {samples:,} | {' | '.join(_figures(figures[stage]))} | {place} |")
    return lines


def exponents_table(found: dict) -> list[str]:
    """Growth with the samples at each number of classes, and the other way round, of cells of one machine."""
    lines = ["| stage | grows with | CPU | peak memory | written | on |", "|---|---|---|---|---|---|"]
    axes = ((1, 0, "samples"), (0, 1, "classes"))
    for stage, (name, place), (axis, other, word) in itertools.product(STAGES, letters(found).items(), axes):
        there = {key: figures for key, figures in found.items() if machine(figures) == name}
        for fixed in sorted({key[other] for key in there}):
            own = {key[axis]: figures for key, figures in there.items() if key[other] == fixed}
            powers = []
            for key in ("cpu", "peak_mib", "bytes"):
                points = {size: value for size, f in own.items() if (value := measured(f, stage, key))}
                powers.append(growth(points))
            if any(power is not None for power in powers):
                at = f"{word}, at {fixed:,} {'classes' if axis else 'samples'}"
                lines.append(f"| `{stage}` | {at} | {' | '.join(map(_power, powers))} | {place} |")
    return lines


def before_table(found: dict) -> list[str]:
    """Stack and evaluation, before and after; from one fit where the whole was not run."""
    lines = ["| stage | classes | samples | before | after |", "|---|---|---|---|---|"]
    for stage in ("collect_oof", "fit_stacker", "evaluate"):
        for (classes, samples), figures in found.items():
            if f"before {stage}" in figures:
                old = " ".join(_cell(figures[f"before {stage}"]))
            elif stage == "fit_stacker" and "before one fit of 1 rounds" in figures:
                old = _from_one_fit(figures)
            else:
                continue
            new = " ".join(_cell(figures[stage])) if stage in figures else ""
            lines.append(f"| `{stage}` | {classes:,} | {samples:,} | {old} | {new} |")
    return lines


def _from_one_fit(figures: dict, rounds: int = 100) -> str:
    """The older stack's n_splits + 1 = 6 fits by two short ones; further iterations of the logistic come on top."""
    short, longer = (figures.get(f"before one fit of {n} rounds", {}) for n in (1, 3))
    for one in (short, longer):
        if not one or "stopped" in one or "failed" in one:
            return f"one fit of one round: {' '.join(_cell(short))}; more was not run"
    each = (longer["cpu"] - short["cpu"]) / 2
    whole = 6 * (short["cpu"] + (rounds - 1) * each)
    return f"about {_clock(whole)} CPU, from one fit ({each:.1f} s a round); ≥ {_mib(short['peak_mib'])}"


def export_table(work: Path) -> list[str]:
    lines = ["| architecture | code | one network | ten networks | ratio of CPU |", "|---|---|---|---|---|"]
    for path in sorted(work.glob("cells/export-*.json")):
        figures = _json(path)
        for prefix, title in (("before ", "before"), ("", "after")):
            one, ten = (figures.get(f"{prefix}{count}") for count in (1, 10))
            if one and ten:
                ratio = f"{ten['cpu'] / one['cpu']:.2f}" if not {"failed", "stopped"} & {*one, *ten} else ""
                cells = [" ".join([*_cell(figure), _bytes(figure["bytes"])]) for figure in (one, ten)]
                lines.append(f"| {path.stem.removeprefix('export-')} | {title} | {cells[0]} | {cells[1]} | {ratio} |")
    return (
        lines if len(lines) > 2 else ["Not measured yet; ten networks against one: [large-export.md](large-export.md)."]
    )


def whole_section(work: Path) -> list[str]:
    path = work / "cells" / "whole.json"
    figures = _json(path) if path.exists() else {}
    if "snakemake" not in figures:
        return []
    asked, run = figures["config"], figures["snakemake"]
    lines = ["", "## One whole run", ""]
    lines.append(
        f"`snakemake --cores {asked['cores']}`: {asked['train'] + asked['val']:,} JPEGs in {asked['classes']} classes, "
        f"{len(asked['models'])} small networks, {asked['folds']['n_splits']} folds, {asked['training']['epochs']} "
        f"epochs, from the folder to the file that passed its gate: {_clock(run['seconds'])}, {_clock(run['cpu'])} "
        f"CPU. Gate: {run['parity']['samples']} samples, largest difference {run['parity']['max_abs_difference']:.1e}, "
        f"{run['parity']['label_flips']} label flips. `ensemble.onnx` {_bytes(run['file'])}, report "
        f"{_bytes(run['report'])}, metrics.json {_bytes(run['metrics'])}."
    )
    guessed = figures.get("estimates", {})
    lines += ["", "| rule | jobs | CPU together | longest | estimated longest | peak memory | estimated |"]
    lines.append("|---|---|---|---|---|---|---|")
    for rule, own in run["rules"].items():
        guess = guessed.get("rules", {}).get(rule, {})
        cells = [f"`{rule}`", str(own["jobs"]), f"{own['cpu']:.0f} s", f"{own['longest']:.0f} s"]
        cells += [f"{guess['seconds']:.0f} s" if guess.get("seconds") else "not known"]
        cells += [_mib(own["peak_mib"]), _mib(guess["mem_mb"]) if guess.get("mem_mb") else "not known"]
        lines.append(f"| {' | '.join(cells)} |")
    if guessed:
        lines += ["", "| on disk | bytes | estimated |", "|---|---|---|"]
        for place, size in guessed["disk"].items():
            lines.append(f"| `{place}` | {_bytes(run['bytes'].get(place, run.get(place, 0)))} | {_bytes(size)} |")
    lines += ["", "| | OOF accuracy | test accuracy |", "|---|---|---|"]
    lines += [f"| {name} | {a['oof']:.4f} | {a['test']:.4f} |" for name, a in run["accuracy"].items()]
    return lines


def scores_section(work: Path) -> list[str]:
    lines = []
    for path in sorted(work.glob("cells/scores-*.json")):
        figures = _json(path)
        lines += ["", f"**{figures['title']}**", "", "| | OOF accuracy | log-loss | against the mean |"]
        lines.append("|---|---|---|---|")
        for name, row in figures["methods"].items():
            change = row.get("difference")
            against = f"{change['difference']:+.2%} [{change['low']:+.2%}, {change['high']:+.2%}]" if change else ""
            accuracy = f"{row['accuracy']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
            lines.append(f"| {name} | {accuracy} | {row['log_loss']:.4f} | {against} |")
    head = ["", "## Scores", "", "Cross-fitted on the same folds; 95 % intervals over samples, differences paired."]
    return head + lines if lines else []


def write(work: Path, page: Path, models: int = 5, folds: int = 5) -> None:
    found = cells(work)
    places = "; ".join(f"{place}: {name}" for name, place in letters(found).items())
    sizes = ", ".join(f"{classes:,} × {samples:,}" for classes, samples in found)
    places += f". Classes × samples so far: {sizes}"
    text = [HEADER.format(machines=f"Measured on {places}.", models=models, folds=folds)]
    text += [
        "## Exponents of growth",
        "",
        "Time (CPU) or bytes grow as size to this power, fitted by least squares on logarithms.",
    ]
    text += ["A stage of a few seconds mostly starts Python, so its power is small.", "", *exponents_table(found)]
    text += ["", "## Before and after", "", *before_table(found)]
    text += ["", "## Export", "", "The rule `export_model` on networks with fresh weights, 200 classes, 64 px.", ""]
    text += export_table(work)
    text += whole_section(work) + scores_section(work) + [EXPLORED]
    text += ["", "## Every stage", *stage_table(found)]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(text) + "\n", encoding="utf-8")


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _figures(one: dict) -> list[str]:
    """Wall, CPU, memory, bytes of a stage."""
    if "stopped" in one:
        return [f"stopped after {_clock(one['stopped'])}", _clock(one["cpu"]), _mib(one["peak_mib"]), ""]
    if "failed" in one:
        return [f"failed: {one['failed'].splitlines()[-1][:80]}", "", _mib(one["peak_mib"]), ""]
    return [_clock(one["seconds"]), _clock(one["cpu"]), _mib(one["peak_mib"]), _bytes(one["bytes"])]


def _cell(one: dict) -> list[str]:
    if "stopped" in one:
        return [f"more than {_clock(one['stopped'])},", _mib(one["peak_mib"])]
    if "failed" in one:
        return ["failed:", one["failed"].splitlines()[-1][:80]]
    return [f"{_clock(one['seconds'])} ({_clock(one['cpu'])} CPU),", _mib(one["peak_mib"])]


def _power(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _mib(value: float) -> str:
    return f"{value:,.0f} MiB" if value < 10_000 else f"{value / 1024:.1f} GiB"


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} B"
