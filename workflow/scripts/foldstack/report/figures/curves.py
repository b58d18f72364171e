"""Learning curves of all runs: a column of panels for each model, a thin line for each run."""

import math
from pathlib import Path

import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from foldstack.errors import FoldstackError
from foldstack.files import read_json
from foldstack.report.figures import style

PANEL_HEIGHT = 200  # at most; less where many models share a screen
LOSSES = (("train_loss", style.BLUE, "training loss"), ("inner_loss", style.VERMILLION, "inner split: loss"))
ACCURACY = ("inner_accuracy", style.GREEN, "inner split: accuracy")


def read_curves(paths) -> dict[str, list[tuple[dict, pd.DataFrame]]]:
    """run.json files, each with its history.csv beside it, as {model: [(run, history), ...]} in the order given.

    Runs without a finished epoch are left out. Raises FoldstackError where a file is missing or broken.
    """
    models: dict[str, list[tuple[dict, pd.DataFrame]]] = {}
    for path in map(Path, paths):
        run = read_json(path)
        file = path.parent / "history.csv"
        try:
            history = pd.read_csv(file)
            history[["epoch", "train_loss", "inner_loss", "inner_accuracy"]].astype(float)
        except (OSError, ValueError, KeyError) as error:
            raise FoldstackError(f"{file} cannot be read ({error}); delete it and run again.") from error
        if len(history):
            models.setdefault(run["model"], []).append((run, history))
    return models


def draw_curves(models: dict[str, list[tuple[dict, pd.DataFrame]]], path) -> None:
    """Loss on top; beneath it the accuracy on the inner split, where any run has one."""
    runs = [pair for pairs in models.values() for pair in pairs]
    held_out = any(history["inner_accuracy"].notna().any() for _, history in runs)
    widest = 4 if len(models) <= 4 else 6 if len(models) <= 18 else 8
    bands, columns = max(math.ceil(len(models) / widest), 1), max(min(len(models), widest), 1)
    depth = 2 if held_out else 1
    size = {1: 520, 2: 800}.get(columns, 980), min(95 + bands * depth * PANEL_HEIGHT, style.MAX_HEIGHT)
    title = f"Learning curves of {len(runs)} runs"
    with style.drawing(path, title, *size) as figure:
        grid = figure.subplots(bands * depth, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_visible(False)
        for i, (model, pairs) in enumerate(models.items()):
            band, column = depth * (i // columns), i % columns
            _draw_loss(grid[band, column], pairs)
            grid[band, column].set_title(style.short(model, 20 if columns <= 4 else 14), fontweight="bold")
            if held_out:
                _draw_accuracy(grid[band + 1, column], pairs)
            grid[band + depth - 1, column].set_xlabel("epoch", labelpad=1)
            if column == 0:
                for axes, label in zip(grid[band : band + depth, 0], ("loss", "accuracy"), strict=False):
                    axes.set_ylabel(label)
        if held_out:
            _same_height([axes for axes in grid[1::2].flat if axes.lines])
        _legend(figure, held_out)


def _draw_loss(axes, pairs) -> None:
    values = []
    for run, history in pairs:
        for key, colour, _ in LOSSES:
            _line(axes, run, history, key, colour, len(pairs))
            values += history[key].dropna().tolist()
    if values and min(values) > 0 and max(values) > 50 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    _dress(axes, pairs)


def _draw_accuracy(axes, pairs) -> None:
    reached = {}
    for run, history in pairs:
        _line(axes, run, history, ACCURACY[0], ACCURACY[1], len(pairs))
        if history["inner_accuracy"].notna().any():
            reached[f"s{run['seed']} f{run['fold']}"] = _selected(run, history)["inner_accuracy"]
    _dress(axes, pairs)
    if not reached:
        axes.set_axis_off()
        axes.text(
            0.5, 0.5, "no inner split\n(selection: final)", transform=axes.transAxes, ha="center", color=style.MUTED
        )
    elif len(reached) > 1:
        lowest = min(reached, key=lambda run: reached[run])
        axes.set_title(f"lowest {reached[lowest]:.3f} ({lowest})", fontsize=style.SMALL, color=style.MUTED)


def _same_height(panels: list) -> None:
    """One accuracy scale for all models, so that they can be compared by eye."""
    low, high = min(axes.get_ylim()[0] for axes in panels), max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _selected(run: dict, history: pd.DataFrame) -> pd.Series:
    """The row of the epoch whose weights were kept; the last one where run.json names none."""
    rows = history[history["epoch"] == run.get("selected_epoch")]
    return rows.iloc[0] if len(rows) else history.iloc[-1]


def _line(axes, run: dict, history: pd.DataFrame, key: str, colour: str, runs: int) -> None:
    if history[key].notna().any():
        marker = "." if len(history) == 1 else None
        alpha = 0.9 if runs <= 3 else 0.6 if runs <= 12 else 0.4
        axes.plot(history["epoch"], history[key], color=colour, linewidth=0.9, alpha=alpha, marker=marker)
        kept = _selected(run, history)
        if key.startswith("inner"):
            axes.plot(kept["epoch"], kept[key], "o", color=colour, markersize=2.6)


def _dress(axes, pairs) -> None:
    axes.set_visible(True)
    axes.grid(axis="y")
    axes.set_xlim(0, max(2, 1.03 * max(len(history) for _, history in pairs)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _legend(figure, held_out: bool) -> None:
    shown = (*LOSSES, ACCURACY) if held_out else LOSSES[:1]
    for _, colour, label in shown:
        figure.axes[0].plot([], [], color=colour, label=label)
    if held_out:
        figure.axes[0].plot([], [], "o", color=style.MUTED, markersize=4, label="epoch whose weights were kept")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(handles))
