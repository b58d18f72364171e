"""Accuracies of the leaderboard with their intervals, as a figure."""

import numpy as np
import pandas as pd

from foldstack.report.figures import style
from foldstack.report.leaderboard import ranked
from foldstack.report.words import PARTS

DRAWN = 34  # contenders in the figure; the table holds all


def draw_intervals(board: pd.DataFrame, path) -> None:
    """Accuracy with its 95 % interval, out of fold and on the test split; each seed alone as a small tick."""
    rows = ranked(board)
    drawn = rows.head(DRAWN)
    title = "Accuracy with 95 % intervals"
    if len(rows) > len(drawn):
        title += f": the first {len(drawn)} of {len(rows)} by out-of-fold accuracy"
    step = 34 if len(drawn) <= 16 else 18
    with style.drawing(path, title, 900, 120 + step * len(drawn)) as figure:
        axes = figure.subplots()
        for part, colour, marker, shift in (("oof", style.BLUE, "o", -0.17), ("test", style.ORANGE, "D", 0.17)):
            _draw_part(axes, drawn, board[board["kind"] == "seed"], part, colour, marker, shift)
        labels = [f"{style.short(name, 30)} ({kind})" for name, kind in zip(drawn["name"], drawn["kind"], strict=True)]
        axes.set_yticks(range(len(drawn)), labels)
        axes.set(ylim=(len(drawn) - 0.4, -0.6), xlabel="accuracy (%)")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        if (board["kind"] == "seed").sum() > (board["kind"] == "model").sum():
            axes.plot([], [], "|", color=style.INK, markersize=7, label="one seed alone")
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=3)


def _draw_part(
    axes, rows: pd.DataFrame, seeds: pd.DataFrame, part: str, colour: str, marker: str, shift: float
) -> None:
    y = np.arange(len(rows)) + shift
    middle, low, high = (100 * rows[f"{part}_accuracy{end}"].to_numpy(float) for end in ("", "_low", "_high"))
    axes.hlines(y, low, high, color=colour, linewidth=1.6)
    axes.plot(middle, y, marker, color=colour, markersize=5, label=PARTS[part])
    for position, name, kind in zip(y, rows["name"], rows["kind"], strict=True):
        own = 100 * seeds.loc[seeds["name"] == name, f"{part}_accuracy"]
        if kind == "model" and len(own) > 1:
            axes.plot(
                own, np.full(len(own), position), "|", color=style.INK, markersize=6, markeredgewidth=0.9, zorder=3
            )
