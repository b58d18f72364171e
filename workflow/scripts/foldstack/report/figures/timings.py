"""When each run ran and what it cost, as a Gantt chart with idle time cut out."""

import math
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from foldstack.report.figures import style

LANE_HEIGHTS = (15, 11, 8, 6)  # px; the first with which the figure is not too tall
LABEL_HEIGHT, MARGIN, FRAME = 28, 12, 150  # px: a model's two lines of text, between models, around the chart
BREAK = 0.03  # width of a cut-out gap, as a share of the busy time
DATED_STRETCHES = 5
WIDTH = 980
UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"))
SEED_COLOURS = [style.BLUE, style.SKY, style.GREEN, style.PURPLE, style.ORANGE]


def run_times(runs: list[dict]) -> pd.DataFrame:
    """One row a run: model, seed, fold, status, seconds, and start, end in seconds since 1970 (NaN if unknown)."""
    rows = []
    for run in runs:
        row = {key: run.get(key) for key in ("model", "seed", "fold", "status")}
        row["seconds"] = float(run.get("seconds") or 0)
        row["start"], row["end"] = _seconds(run.get("started")), _seconds(run.get("finished"))
        rows.append(row)
    return pd.DataFrame(rows)


def _seconds(text) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return float("nan")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def lanes(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """For each interval the first row in which it overlaps no earlier one."""
    free: list[float] = []
    chosen = np.zeros(len(start), dtype=int)
    for i in np.lexsort((end, start)):
        row = next((k for k, moment in enumerate(free) if moment <= start[i]), len(free))
        free[row:] = [end[i], *free[row + 1 :]]
        chosen[i] = row
    return chosen


def stretches(start: np.ndarray, end: np.ndarray) -> list[tuple[float, float]]:
    """Spans in which runs followed each other without a gap longer than 3 % of the busy time (or one minute)."""
    merged: list[list[float]] = []
    for a, b in sorted(zip(start, end, strict=True)):
        if merged and a <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], b)
        else:
            merged.append([a, b])
    longest = max(BREAK * sum(b - a for a, b in merged), 60)
    joined = merged[:1]
    for a, b in merged[1:]:
        if a - joined[-1][1] <= longest:
            joined[-1][1] = b
        else:
            joined.append([a, b])
    return [(a, b) for a, b in joined]


def draw_timings(runs: list[dict], path) -> None:
    """Gantt chart by model; plain points of seconds where times are unknown or too many runs ran side by side."""
    table = run_times(runs)
    table["colour"] = _colours(table)
    models = list(dict.fromkeys(table["model"]))
    title = f"{len(table)} runs, {style.duration(table['seconds'].sum())} of computing"
    known = bool((table["end"] >= table["start"]).all())  # False where a time is unknown
    rows = {}
    if known:
        for model in models:
            part = table[table["model"] == model]
            rows[model] = pd.Series(lanes(part["start"].to_numpy(), part["end"].to_numpy()), part.index)
    for lane in LANE_HEIGHTS if known else ():
        heights = {model: max(row.max() + 1, math.ceil(LABEL_HEIGHT / lane)) for model, row in rows.items()}
        if lane * sum(heights.values()) + MARGIN * len(models) + FRAME <= style.MAX_HEIGHT:
            _draw_gantt(table, rows, heights, lane, title, path)
            break
    else:
        _draw_points(table, models, title, path)


def _label(model: str, part: pd.DataFrame) -> str:
    total = style.duration(part["seconds"].sum())
    return f"{style.short(model, 20)}\n{len(part)} runs, {total}"


def _draw_gantt(table: pd.DataFrame, rows: dict, heights: dict, lane: int, title: str, path) -> None:
    spans = stretches(table["start"].to_numpy(), table["end"].to_numpy())
    busy = sum(b - a for a, b in spans)
    gap = BREAK * busy
    offsets = np.cumsum([0.0] + [b - a + gap for a, b in spans[:-1]])
    starts = np.array([a for a, _ in spans])
    size, unit = next((pair for pair in UNITS if busy >= 2 * pair[0]), (1, "seconds"))

    def place(moments):
        index = np.searchsorted(starts, moments, side="right") - 1
        return (moments - starts[index] + offsets[index]) / size

    height = FRAME + lane * sum(heights.values()) + MARGIN * len(rows)
    with style.drawing(path, title, WIDTH, height) as figure:
        axes = figure.subplots()
        top, ticks, widest = 0.0, [], (busy + gap * len(spans)) / size
        for model, row in rows.items():
            part, spare = table.loc[row.index], (heights[model] - 1 - row.max()) / 2
            _draw_bars(axes, part, place(part["start"].to_numpy()), top + row + spare, size, widest, lane)
            ticks.append((top + (heights[model] - 1) / 2, _label(model, part)))
            top += heights[model] + MARGIN / lane
            axes.axhline(top - MARGIN / 2 / lane - 0.5, color=style.FAINT, linewidth=0.8)
        _mark_breaks(axes, spans, offsets / size, gap / size)
        axes.set_yticks(*zip(*ticks, strict=True))
        axes.tick_params(axis="y", length=0)
        axes.set(ylim=(top - 0.5, -0.8), xlim=(-0.005 * widest, widest))
        idle = "with runs in progress (idle time is cut out)"
        axes.set_xlabel(f"{unit} {idle if len(spans) > 1 else 'since the first run started'}")
        axes.grid(axis="x")
        _legend(figure, table)


def _draw_bars(axes, part: pd.DataFrame, left: np.ndarray, y, size: int, widest: float, lane: int) -> None:
    width = ((part["end"] - part["start"]) / size).clip(lower=0.002 * widest)
    axes.barh(y, width, left=left, height=0.82, color=part["colour"], edgecolor="white", linewidth=0.5)
    for x, w, row, run in zip(left, width, y, part.itertuples(), strict=True):
        if lane >= 15 and w > 0.042 * widest:
            colour = "white" if run.colour in (style.BLUE, style.GREEN, style.VERMILLION) else style.INK
            text = f"s{run.seed} f{run.fold}"
            axes.text(x + w / 2, row, text, ha="center", va="center", fontsize=6.5, color=colour, clip_on=True)


def _mark_breaks(axes, spans: list, offsets: np.ndarray, gap: float) -> None:
    """A grey band for each gap that was cut out; how long it was, and the date after it, where that fits."""
    for i in range(1, len(spans)):
        axes.axvspan(offsets[i] - gap, offsets[i], color=style.FAINT, linewidth=0)
    if len(spans) <= DATED_STRETCHES:
        for (start, _), x in zip(spans, offsets, strict=True):
            date = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d %H:%M UTC")
            axes.text(x, -0.9, date, fontsize=style.SMALL - 1, color=style.MUTED, rotation=0 if len(spans) < 3 else 20)


def _draw_points(table: pd.DataFrame, models: list, title: str, path) -> None:
    with style.drawing(path, f"{title} (run by run)", WIDTH, min(120 + 42 * len(models), style.MAX_HEIGHT)) as figure:
        axes = figure.subplots()
        for row, model in enumerate(models):
            part = table[table["model"] == model]
            spread = row + 0.5 * (np.arange(len(part)) + 0.5) / len(part) - 0.25
            axes.scatter(part["seconds"], spread, s=14, color=part["colour"], alpha=0.8, linewidth=0)
        axes.set_yticks(range(len(models)), [_label(model, table[table["model"] == model]) for model in models])
        axes.set(ylim=(len(models) - 0.4, -0.6), xlabel="seconds a run")
        axes.set_xlim(left=0)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        _legend(figure, table)


def _colours(table: pd.DataFrame) -> list[str]:
    seeds = sorted(set(table["seed"]))
    palette = SEED_COLOURS if len(seeds) <= len(SEED_COLOURS) else [style.BLUE] * len(seeds)
    by_seed = dict(zip(seeds, palette, strict=False))
    return [
        by_seed[seed] if status == "completed" else style.VERMILLION
        for seed, status in zip(table["seed"], table["status"], strict=True)
    ]


def _legend(figure, table: pd.DataFrame) -> None:
    seeds = sorted(set(table["seed"]))
    entries = {}
    if 1 < len(seeds) <= len(SEED_COLOURS):
        entries = {f"seed {seed}": colour for seed, colour in zip(seeds, SEED_COLOURS, strict=False)}
    if (table["status"] != "completed").any():
        entries["not completed"] = style.VERMILLION
    if entries:
        handles = [Patch(color=colour) for colour in entries.values()]
        figure.legend(handles, list(entries), loc="outside lower left", ncols=len(entries))
