"""What the data holds: samples by class and split, and a sheet of examples."""

import math

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from PIL import Image

from foldstack.data.pixels import Pixels
from foldstack.report.figures import style

NAMED_CLASSES = 144  # beyond this no names fit; the counts are drawn by rank
NAMED_ENDS = 4  # classes with the most, and with the fewest samples, that are then named
ROWS = 36
SHEET_WIDTH = 980
SHEET_CLASSES = 104
LABEL_HEIGHT, SHEET_GAP, COLUMN_GAP = 17, 6, 16  # px
SHEET_SIZES = ((6, 1, 72), (16, 2, 56), (40, 4, 44), (SHEET_CLASSES, 8, 33))  # classes up to, columns, px


def count_classes(samples: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Samples by class (rows, in the order of `classes`) and split (columns `train`, `test`)."""
    table = pd.crosstab(samples["label"], samples["split"])
    table = table.reindex(index=range(len(classes)), columns=["train", "test"], fill_value=0)
    return table.set_axis(classes)


def draw_counts(samples: pd.DataFrame, dataset: dict, path) -> None:
    """Bars of class counts, training and test stacked; by rank without names beyond 144 classes."""
    counts = count_classes(samples, dataset["classes"])
    total = counts.sum()
    title = f"{len(samples):,} samples: {total['train']:,} for training, {total['test']:,} for the test"
    if len(counts) > NAMED_CLASSES:
        _draw_ranks(counts, title, path)
        return
    columns = math.ceil(len(counts) / ROWS)
    rows = math.ceil(len(counts) / columns)
    with style.drawing(path, title, 720 if columns == 1 else 980, 105 + max(17 * rows, 60)) as figure:
        panels = figure.subplots(1, columns, squeeze=False, sharex=True)[0]
        widest = max(int(counts.sum(axis=1).max()), 1)
        for i, axes in enumerate(panels):
            part = counts.iloc[i * rows : (i + 1) * rows]
            room, length = (1.25, 24) if columns < 3 else (1.6, 16 if columns == 3 else 12)
            _draw_bars(axes, part, rows, widest * room, length)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2)


def _draw_bars(axes, counts: pd.DataFrame, rows: int, limit: float, length: int) -> None:
    y = np.arange(len(counts))
    axes.barh(y, counts["train"], color=style.BLUE, height=0.72, label="training")
    axes.barh(y, counts["test"], left=counts["train"], color=style.ORANGE, height=0.72, label="test")
    for row, (train, test) in enumerate(counts.to_numpy()):
        colour = style.MUTED if train and test else style.VERMILLION
        place = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{train:,} + {test:,}", (train + test, row), **place, fontsize=style.SMALL - 1, color=colour)
    axes.set_yticks(y, [style.short(name, length) for name in counts.index])
    axes.set(xlim=(0, limit), ylim=(rows - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="x")


def _draw_ranks(counts: pd.DataFrame, title: str, path) -> None:
    with style.drawing(path, title, 820, 380) as figure:
        axes = figure.subplots()
        rank = np.arange(1, len(counts) + 1)
        for split, colour in (("train", style.BLUE), ("test", style.ORANGE)):
            values = np.sort(counts[split].to_numpy())[::-1]
            label = f"{'training' if split == 'train' else 'test'}: {values.max():,} to {values.min():,} a class"
            axes.step(rank, values, where="mid", color=colour, label=label)
        if counts["train"].max() > 30 * max(int(counts["train"].min()), 1):
            axes.set_yscale("symlog", linthresh=1)
        else:
            axes.set_ylim(bottom=0)
        ends = counts["train"].sort_values(ascending=False, kind="stable")
        largest, smallest = (_listed(part) for part in (ends.iloc[:NAMED_ENDS], ends.iloc[: -NAMED_ENDS - 1 : -1]))
        ranked = f"the {len(counts):,} classes, largest first"
        axes.set(xlabel=f"{ranked}\nmost: {largest}\nfewest: {smallest}", ylabel="samples")
        axes.grid(axis="y")
        axes.legend()


def _listed(counts: pd.Series) -> str:
    return ", ".join(f"{style.short(name, 20)} ({count:,})" for name, count in counts.items())


def draw_contact_sheet(samples: pd.DataFrame, pixels: Pixels, dataset: dict, path) -> None:
    """A PNG of some training samples of each class; which ones is decided by their content, not their order.

    Args:
        pixels: uint8 (N, H, W, C), or (N, 2, H, W, C) for pairs, indexed by the column `row`.
    """
    classes = dataset["classes"][:SHEET_CLASSES]
    training = samples[samples["split"] == "train"].sort_values(["hash", "sample_id"])
    columns, tallest = next(size for limit, *size in SHEET_SIZES if len(classes) <= limit)
    rows = math.ceil(len(classes) / columns)
    step, gap = (SHEET_WIDTH + COLUMN_GAP) // columns, 4
    height, tiles = _tile_size(pixels, step - COLUMN_GAP, gap, tallest)
    sheet = np.full((rows * (height + LABEL_HEIGHT + SHEET_GAP), SHEET_WIDTH, 3), 255, np.uint8)
    labels = []
    for i in range(len(classes)):
        x, y = (i // rows) * step, (i % rows) * (height + LABEL_HEIGHT + SHEET_GAP)
        chosen = training.loc[training["label"] == i, "row"].head(tiles)
        labels.append((x, y + LABEL_HEIGHT - 5, classes[i] if len(chosen) else f"{classes[i]} (no training sample)"))
        for row in chosen:
            picture = tile(pixels[row], height)[:, : SHEET_WIDTH - x]
            sheet[y + LABEL_HEIGHT : y + LABEL_HEIGHT + height, x : x + picture.shape[1]] = picture
            x += picture.shape[1] + gap
    _write_sheet(sheet, labels, {1: 60, 2: 60, 4: 30}.get(columns, 15), _sheet_title(dataset), path)


def _sheet_title(dataset: dict) -> str:
    height, width = dataset["image_size"]
    kind = "grey" if dataset["channels"] == 1 else "colour"
    title = f"Training {dataset['task']} by class, stored as {width} × {height} px, {kind}"
    missing = len(dataset["classes"]) - SHEET_CLASSES
    return f"{title}; {missing:,} more classes are not shown" if missing > 0 else title


def _tile_size(pixels: Pixels, width: int, gap: int, height: int) -> tuple[int, int]:
    """Height of a tile and the number of tiles that fit into `width`; small images are enlarged by whole steps."""
    if pixels.shape[-3] < height:
        height = pixels.shape[-3] * (height // pixels.shape[-3])
    tile_width = tile(np.zeros(pixels.shape[1:], np.uint8), height).shape[1]
    return height, max((width + gap) // (tile_width + gap), 1)


def tile(image: np.ndarray, height: int) -> np.ndarray:
    """(H, W, C) or (2, H, W, C) uint8 to (height, width, 3); the two images of a pair are side by side."""
    if image.ndim == 4:
        first, second = (tile(view, height) for view in image)
        return np.concatenate([first, np.full((height, 1, 3), 255, np.uint8), second], axis=1)
    width = max(round(image.shape[1] * height / image.shape[0]), 1)
    picture = Image.fromarray(np.ascontiguousarray(image if image.shape[-1] == 3 else image[..., 0])).convert("RGB")
    enlarged = height >= image.shape[0]
    return np.asarray(picture.resize((width, height), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX))


def _write_sheet(sheet: np.ndarray, labels: list, length: int, title: str, path) -> None:
    margin, top = 12, 44
    height, width = sheet.shape[:2]
    full = width + 2 * margin, height + top + margin
    with style.drawing(path, title, *full) as figure:
        figure.set_layout_engine("none")
        figure.texts[0].set(y=1 - 9 / full[1], verticalalignment="top")
        figure.figimage(sheet, margin, margin)
        for x, y, name in labels:
            position = (margin + x) / full[0], 1 - (top + y) / full[1]
            figure.text(*position, style.short(name, length), fontsize=style.SMALL, va="baseline")
