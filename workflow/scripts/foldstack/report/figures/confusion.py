"""Confusion matrices of the ensemble, out of fold and on the test split."""

import numpy as np

from foldstack.report.figures import style
from foldstack.report.words import PARTS

WRITTEN_CELLS = 12  # with up to this many classes, counts are written into the cells
NAMED_CLASSES = 40
LISTED = 8


def mistakes(matrix: np.ndarray, classes: list[str], limit: int = LISTED) -> list[tuple[str, str, int, int]]:
    """The mistakes, most frequent first: (true class, predicted class, count, samples of the true class)."""
    matrix = np.asarray(matrix)
    wrong = matrix * (1 - np.eye(len(classes), dtype=matrix.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [np.unravel_index(index, wrong.shape) for index in order]
    return [(classes[i], classes[j], int(wrong[i, j]), int(matrix[i].sum())) for i, j in pairs if wrong[i, j] > 0]


def draw_confusion(metrics: dict, path) -> None:
    """Two row-normalised matrices side by side, and under each a list of its most frequent mistakes."""
    classes, deployed = metrics["classes"], metrics["deployed"]
    entry = metrics[deployed["kind"]][deployed["name"]]
    parts = {key: label for key, label in PARTS.items() if entry[key]["confusion"]}
    matrices = {key: np.asarray(entry[key]["confusion"]) for key in parts}
    off_diagonal = ~np.eye(len(classes), dtype=bool)
    worst = max(0.1, *(_shares(matrix)[off_diagonal].max(initial=0) for matrix in matrices.values()))
    title = f"Which classes the {deployed['kind']} “{deployed['name']}” confuses"
    listed = min(LISTED, len(classes) * (len(classes) - 1))
    heights = [430 if len(classes) > 2 else 220, 26 + 15 * listed]
    with style.drawing(path, title, 490 * len(parts), 70 + sum(heights)) as figure:
        grid = figure.subplots(2, len(parts), squeeze=False, height_ratios=heights)
        for column, (key, label) in enumerate(parts.items()):
            counted = f"{label}: {matrices[key].sum():,} samples, accuracy {100 * entry[key]['accuracy']:.2f} %"
            _draw_matrix(grid[0, column], matrices[key], classes, counted, worst)
            _draw_list(grid[1, column], mistakes(matrices[key], classes), listed)


def _shares(matrix: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; zeros for a class without samples."""
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, out=np.zeros(matrix.shape), where=total > 0)


def _draw_matrix(axes, matrix: np.ndarray, classes: list[str], title: str, worst: float) -> None:
    """Hits in blue (0 to 100 %), mistakes in orange (0 to `worst`, the same in both panels, by its root)."""
    share, right = _shares(matrix), np.eye(len(classes), dtype=bool)
    shown = style.BLUES(np.where(right, share, 0))
    shown[~right] = style.ORANGES(np.sqrt(share / worst) * 0.85)[~right]
    axes.imshow(shown, interpolation="none", aspect="equal")
    if len(classes) <= WRITTEN_CELLS:
        _write_cells(axes, matrix, share, worst)
    if len(classes) <= NAMED_CLASSES:
        size = style.SMALL if len(classes) <= 24 else style.SMALL - 1.5
        names = [style.short(name, 14) for name in classes]
        axes.set_yticks(range(len(classes)), names, fontsize=size)
        axes.set_xticks(range(len(classes)), names, rotation=0 if len(classes) <= 3 else 90, fontsize=size)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.set_title(title)
    axes.set_ylabel("true class" if len(classes) <= NAMED_CLASSES else f"true class ({len(classes)}, in order)")
    axes.set_xlabel("predicted class")
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True)


def _write_cells(axes, matrix: np.ndarray, share: np.ndarray, worst: float) -> None:
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
