"""How the training samples are divided into folds, and how evenly each class is spread over them."""

import numpy as np
import pandas as pd

from foldstack.report.figures import style

NAMED_CLASSES = 40
WRITTEN_CELLS = 25  # with up to this many classes, counts are written into the cells


def run_sizes(folds: pd.DataFrame, n_splits: int, inner_splits: int) -> pd.DataFrame:
    """Samples that the run of each fold trains on, sets aside (its inner split) and predicts."""
    rows = []
    for k in range(n_splits):
        predicted = folds["fold"] == k
        aside = ~predicted & (folds["inner"] == k % inner_splits)
        rows.append(
            {"train": int((~predicted & ~aside).sum()), "inner": int(aside.sum()), "fold": int(predicted.sum())}
        )
    return pd.DataFrame(rows)


def class_by_fold(folds: pd.DataFrame, samples: pd.DataFrame, n_classes: int, n_splits: int) -> np.ndarray:
    """(n_classes, n_splits) counts of training samples."""
    joined = folds.merge(samples[["sample_id", "label"]], on="sample_id", validate="one_to_one")
    table = pd.crosstab(joined["label"], joined["fold"])
    return table.reindex(index=range(n_classes), columns=range(n_splits), fill_value=0).to_numpy()


def draw_folds(folds: pd.DataFrame, summary: dict, samples: pd.DataFrame, dataset: dict, path) -> None:
    """Bars of what each fold's run does with the samples, and a map of classes over folds."""
    classes, n_splits = dataset["classes"], summary["n_splits"]
    counts = class_by_fold(folds, samples, len(classes), n_splits)
    title = f"{len(folds):,} training samples in {n_splits} folds ({summary['strategy'].replace('_', ' ')})"
    rows = 17 * max(len(classes), 5) if len(classes) <= WRITTEN_CELLS else 14 * min(len(classes), NAMED_CLASSES - 10)
    height = min(150 + max(24 * n_splits, rows), style.MAX_HEIGHT)
    with style.drawing(path, title, 960, height) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1, 1])
        _draw_sizes(left, run_sizes(folds, n_splits, summary["inner_splits"]))
        if len(classes) > NAMED_CLASSES:  # without names, by size: in small classes every sample weighs much
            counts = counts[np.argsort(-counts.sum(axis=1), kind="stable")]
        image = _draw_map(right, counts, classes)
        bar = figure.colorbar(image, ax=right, shrink=min(1, 220 / height + 0.2), aspect=18, pad=0.02)
        bar.set_label("against an even share")
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f} %" if value else "even")
        bar.outline.set_visible(False)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=3)


def _draw_sizes(axes, sizes: pd.DataFrame) -> None:
    y = np.arange(len(sizes))
    start = np.zeros(len(sizes))
    parts = (
        ("train", style.BLUE, "white", "trains on"),
        ("inner", style.SKY, style.INK, "sets aside (selection: inner)"),
        ("fold", style.ORANGE, style.INK, "predicts once, at the end"),
    )
    whole = max(int(sizes.to_numpy().sum(axis=1).max()), 1)
    for name, colour, ink, label in parts:
        axes.barh(y, sizes[name], left=start, color=colour, height=0.72, label=label)
        for row, value in enumerate(sizes[name]):
            if value > 0.06 * whole and len(sizes) <= 20:
                axes.text(
                    start[row] + value / 2, row, f"{value:,}", ha="center", va="center", color=ink, fontsize=style.SMALL
                )
        start += sizes[name]
    step = max(len(sizes) // 20, 1)
    axes.set_yticks(y[::step], [f"fold {k}" for k in y[::step]])
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(sizes) - 0.5, -0.5), xlim=(0, whole), title="What the run of each fold does")
    axes.set_xlabel("training samples")


def _draw_map(axes, counts: np.ndarray, classes: list[str]):
    even = counts.sum(axis=1, keepdims=True) / counts.shape[1]
    deviation = np.divide(counts - even, even, out=np.zeros(counts.shape), where=even > 0)
    limit = max(0.1, float(np.abs(deviation).max()))
    image = axes.imshow(deviation, cmap=style.DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="none")
    if len(classes) <= WRITTEN_CELLS and counts.shape[1] <= 10:
        for (row, column), value in np.ndenumerate(counts):
            dark = abs(deviation[row, column]) > 0.8 * limit
            colour = "white" if dark else style.INK
            axes.text(column, row, f"{value:,}", ha="center", va="center", fontsize=style.SMALL, color=colour)
    if len(classes) <= NAMED_CLASSES:
        axes.set_yticks(range(len(classes)), [style.short(name, 20) for name in classes])
    else:
        axes.set_ylabel(f"{len(classes):,} classes, largest first")
        axes.set_yticks([])
    step = max(counts.shape[1] // 10, 1)
    axes.set_xticks(range(0, counts.shape[1], step))
    axes.set(xlabel="fold", title="Samples of each class in each fold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image
