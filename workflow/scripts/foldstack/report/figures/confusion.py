"""Confusion matrices of the ensemble, out of fold and on the test split."""

import numpy as np

from foldstack.report import confusion
from foldstack.report.figures import style
from foldstack.report.words import PARTS

WRITTEN_CELLS = 12  # with up to this many classes, counts are written into the cells
DOTS = 200  # a side, as many as can be told apart at the figure's size
LISTED = 8


def draw_confusion(metrics: dict, path) -> None:
    """Two row-normalised matrices side by side, and under each a list of its most frequent mistakes.

    Beyond `confusion.NAMED` the classes have no names and stand in an order in which those alike are neighbours.
    """
    classes, deployed = metrics["classes"], metrics["deployed"]
    entry = metrics[deployed["kind"]][deployed["name"]]
    parts = {key: label for key, label in PARTS.items() if metrics["confusion"][key]["count"]}
    matrices = {key: confusion.matrix(metrics, key) for key in parts}
    order = np.arange(len(classes)) if len(classes) <= confusion.NAMED else confusion.by_likeness(matrices["oof"])
    worst = max(map(confusion.worst, matrices.values()))
    title = f"Which classes the {deployed['kind']} “{deployed['name']}” confuses"
    listed = min(LISTED, len(classes) * (len(classes) - 1))
    heights = [430 if len(classes) > 2 else 220, 26 + 15 * listed]
    with style.drawing(path, title, 490 * len(parts), 70 + sum(heights)) as figure:
        grid = figure.subplots(2, len(parts), squeeze=False, height_ratios=heights)
        for column, (key, label) in enumerate(parts.items()):
            counted = f"{label}: {matrices[key].sum():,} samples, accuracy {100 * entry[key]['accuracy']:.2f} %"
            _draw_matrix(grid[0, column], matrices[key][np.ix_(order, order)], classes, counted, worst)
            _draw_list(grid[1, column], confusion.mistakes(matrices[key], classes, LISTED), listed)


def _draw_matrix(axes, matrix: np.ndarray, classes: list[str], title: str, worst: float) -> None:
    step = -(-len(classes) // DOTS)
    axes.imshow(_darkest(confusion.colours(matrix, worst), step), interpolation="none", aspect="equal")
    if len(classes) <= WRITTEN_CELLS:
        _write_cells(axes, matrix, worst)
    if len(classes) <= confusion.NAMED:
        size = style.SMALL if len(classes) <= 24 else style.SMALL - 1.5
        names = [style.short(name, 14) for name in classes]
        axes.set_yticks(range(len(classes)), names, fontsize=size)
        axes.set_xticks(range(len(classes)), names, rotation=0 if len(classes) <= 3 else 90, fontsize=size)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.set_title(title)
    alike = f"true class ({len(classes):,}, those alike side by side)" + f"; a dot for {step} × {step}" * (step > 1)
    axes.set_ylabel("true class" if len(classes) <= confusion.NAMED else alike)
    axes.set_xlabel("predicted class")
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True)


def _darkest(colours: np.ndarray, step: int) -> np.ndarray:
    """Squares of `step` cells as one dot, so that a picture too small for all cells loses none that is not empty."""
    more = -len(colours) % step
    padded = np.pad(colours, ((0, more), (0, more), (0, 0)), constant_values=1)
    size = len(padded) // step
    return padded.reshape(size, step, size, step, -1).min(axis=(1, 3))


def _write_cells(axes, matrix: np.ndarray, worst: float) -> None:
    share = confusion.shares(matrix)
    for (i, j), count in np.ndenumerate(matrix):
        if count:
            dark = share[i, j] > 0.5 if i == j else share[i, j] > 0.6 * worst
            colour = "white" if dark else style.INK
            axes.text(j, i, f"{int(count):,}", ha="center", va="center", fontsize=style.SMALL, color=colour)


def _draw_list(axes, pairs, rows: int) -> None:
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(rows - 0.5, -0.5))
    axes.set_title("Most frequent mistakes" if pairs else "No mistakes", fontweight="bold")
    for row, (true, predicted, count, total) in enumerate(pairs):
        axes.text(
            0.0, row, f"{style.short(true, 22)} → {style.short(predicted, 22)}", va="center", fontsize=style.SMALL
        )
        axes.text(1.0, row, f"{count:,} of {total:,}", va="center", ha="right", fontsize=style.SMALL, color=style.MUTED)
