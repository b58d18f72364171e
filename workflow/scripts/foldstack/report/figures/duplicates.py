"""Pairs of identical and nearly equal samples, side by side."""

import math

import numpy as np
import pandas as pd

from foldstack.data.duplicates import contradict
from foldstack.data.pixels import Pixels
from foldstack.report.figures import style
from foldstack.report.figures.data import tile

SHOWN = 24
COLUMNS = 6
TILE = 72  # px
STEP_X, STEP_Y = 160, TILE + 34
TOP = 44


def draw_duplicates(pairs: pd.DataFrame, samples: pd.DataFrame, pixels: Pixels, dataset: dict, path) -> None:
    """A PNG of at most 24 pairs: first one image under two labels, then pairs across the splits, then the closest.

    Args:
        pairs: duplicates.parquet.
        pixels: uint8 (N, H, W, C), or (N, 2, H, W, C) for pairs, indexed by the column `row` of `samples`.
    """
    across = (pairs["first_split"] != pairs["second_split"]).rename("across")
    order = pairs.assign(across=~across, agree=~contradict(samples, pairs, dataset["task"]))
    order = order.sort_values(["agree", "across", "distance", "first", "second"], kind="stable")
    shown = order.head(SHOWN)
    rows = max(math.ceil(len(shown) / COLUMNS), 1)
    width, height = COLUMNS * STEP_X + 24, TOP + rows * STEP_Y
    by_id = samples.set_index("sample_id")
    with style.drawing(path, _title(dataset), width, height) as figure:
        figure.set_layout_engine("none")
        figure.texts[0].set(y=1 - 9 / height, verticalalignment="top")
        if shown.empty:
            figure.text(0.5, 0.4, "no pair was found", ha="center", color=style.MUTED)
        for number, pair in enumerate(shown.itertuples()):
            x, y = 12 + number % COLUMNS * STEP_X, TOP + number // COLUMNS * STEP_Y
            two = (by_id.loc[pair.first], pair.first_view), (by_id.loc[pair.second], pair.second_view)
            for i, (sample, view) in enumerate(two):
                picture = _square(pixels[sample["row"]] if pixels.ndim == 4 else pixels[sample["row"], view])
                figure.figimage(picture, x + i * (TILE + 2), height - y - TILE)
            labels = [dataset["classes"][sample["label"]] for sample, _ in two]
            colour = style.INK if labels[0] == labels[1] else style.VERMILLION
            place = {"fontsize": style.SMALL - 1, "va": "top"}
            names = " | ".join(style.short(name, 12) for name in labels)
            figure.text(x / width, 1 - (y + TILE + 3) / height, names, color=colour, **place)
            splits = "train" if pair.first_split == pair.second_split == "train" else "test"
            where = f"{pair.first_split} | {pair.second_split}" if pair.first_split != pair.second_split else splits
            text = f"{where}, " + (
                "identical" if two[0][0]["hash"] == two[1][0]["hash"] else f"differ by {pair.distance:.3f}"
            )
            colour = style.VERMILLION if pair.first_split != pair.second_split else style.MUTED
            figure.text(x / width, 1 - (y + TILE + 15) / height, text, color=colour, **place)


def _square(image: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 to (TILE, TILE, 3), cut or filled with white on the right."""
    picture = tile(image, TILE)[:, :TILE]
    return np.pad(picture, ((0, 0), (0, TILE - picture.shape[1]), (0, 0)), constant_values=255)


def _title(dataset: dict) -> str:
    same, near, twice = dataset["duplicates"], dataset["near_duplicates"], dataset["two_labels"]
    labels = twice["identical"] + twice["near"]
    return (
        f"{same['train'] + near['train']:,} pairs of identical or nearly equal training samples, "
        f"{same['train_test'] + near['train_test']:,} across training and test"
        + (f"; {labels:,} under two labels" if labels else "")
    )
