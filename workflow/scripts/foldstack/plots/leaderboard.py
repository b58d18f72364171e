"""The leaderboard as an HTML page, and its accuracies with their intervals as a figure."""

import numpy as np
import pandas as pd

from foldstack.errors import FoldstackError
from foldstack.plots import page, style
from foldstack.quorum import banner
from foldstack.summary import human

PARTS = {"oof": "Out of fold", "test": "Test set"}
FIGURES = {"accuracy": "Accuracy", "f1": "F1", "map": "mAP", "log_loss": "Log-loss"}
LOWER_IS_BETTER = {"log_loss"}
DRAWN = 34  # contenders in the figure; the table holds all

BODY = """
{% if warning %}<p><strong>{{ warning }}</strong></p>{% endif %}
<p>{{ verdict }}</p>
<p>Sorted by out-of-fold accuracy, never by the test set.
<span class="top">Underlined</span>: the leading figure of its column.
Accuracy, F1 and mAP in %, F1 and mAP averaged over classes; in brackets the 95 % interval.
Blends and stacks are cross-fitted: no row was scored by weights that saw it.</p>
{% macro board(rows) %}
<div class="scroll"><table>
<thead>
<tr class="groups"><th class="first"></th>
{% for title in parts.values() %}<th class="gap" colspan="{{ figures|length }}">{{ title }}</th>{% endfor %}
<th class="gap" colspan="2">One network</th></tr>
<tr><th class="first">Contender</th>
{% for part in parts %}{% for title in figures.values() %}<th{% if loop.first %} class="gap"{% endif %}>{{ title }}</th>
{% endfor %}{% endfor %}<th class="gap">Parameters</th><th>FLOPs</th></tr>
</thead>
<tbody>
{% for row in rows %}
<tr><th scope="row" class="first"><span class="name" title="{{ row.name }}">{{ row.name }}</span><br>
<small>{{ row.kind }}</small></th>
{% for cell in row.cells %}<td{% if loop.index0 % figures|length == 0 %} class="gap"{% endif %}>
<span{% if cell.top %} class="top"{% endif %}>{{ cell.text }}</span>
{%- if cell.interval %}<br><small>{{ cell.interval }}</small>{% endif %}</td>
{% endfor %}<td class="gap">{{ row.parameters }}</td><td>{{ row.flops }}</td></tr>
{% endfor %}
</tbody>
</table></div>
{% endmacro %}
{{ board(rows) }}
{% if seeds %}
<details><summary><h2>Single seeds</h2> <small>({{ seeds|length }})</small></summary>
{{ board(seeds) }}
</details>
{% endif %}
"""


def read_leaderboard(path) -> pd.DataFrame:
    """leaderboard.csv; raises FoldstackError where it is missing or lacks a column."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"name": str})
    except (OSError, ValueError) as error:
        raise FoldstackError(f"{path} cannot be read ({error}); delete it and run again.") from error
    needed = {"kind", "name", "seed", "parameters", "flops"} | {f"{part}_{key}" for part in PARTS for key in FIGURES}
    if missing := sorted(needed - set(table.columns)):
        raise FoldstackError(f"{path} lacks the columns {missing}; delete it and run again.")
    return table


def ranked(board: pd.DataFrame) -> pd.DataFrame:
    """Models, blends and stacks, by falling OOF accuracy; equals keep their order."""
    rows = board[board["kind"] != "seed"]
    return rows.sort_values("oof_accuracy", ascending=False, kind="stable", na_position="last")


def render_leaderboard(board: pd.DataFrame, metrics: dict) -> str:
    """The page's HTML from leaderboard.csv and metrics.json."""
    seeds = board[board["kind"] == "seed"].sort_values(["name", "seed"], kind="stable")
    if not (seeds.groupby("name").size() > 1).any():
        seeds = seeds.iloc[:0]  # one seed a model: the same figures as the models' own rows
    counts = metrics["samples"]
    title = f"Leaderboard: {counts['train']:,} out-of-fold and {counts['test']:,} test samples"
    return page.render(
        title,
        BODY,
        verdict=metrics["verdict"],
        warning=banner(metrics.get("left_out", [])),
        parts=PARTS,
        figures=FIGURES,
        rows=_rows(ranked(board), metrics["deployed"], mark=True),
        seeds=_rows(seeds, metrics["deployed"], mark=False),
    )


def _rows(table: pd.DataFrame, deployed: dict, mark: bool) -> list[dict]:
    shown = {(part, key): table[f"{part}_{key}"].round(6) for part in PARTS for key in FIGURES}
    top = {at: values.min() if at[1] in LOWER_IS_BETTER else values.max() for at, values in shown.items()}
    rows = []
    for index, row in table.iterrows():
        cells = [_cell(row, *at, mark and shown[at][index] == top[at]) for at in shown]
        kind = (
            f"{row['kind']}, deployed"
            if (row["kind"], row["name"]) == (deployed["kind"], deployed["name"])
            else row["kind"]
        )
        kind = f"seed {int(row['seed'])}" if row["kind"] == "seed" else kind
        sizes = {key: human(row[key]) if pd.notna(row[key]) else "–" for key in ("parameters", "flops")}
        rows.append({"name": row["name"], "kind": kind, "cells": cells, **sizes})
    return rows


def _cell(row: pd.Series, part: str, key: str, top: bool) -> dict:
    value, interval = row[f"{part}_{key}"], None
    if pd.isna(value):
        return {"text": "–", "interval": None, "top": False}
    if key == "accuracy":
        low, high = (100 * row[f"{part}_accuracy_{end}"] for end in ("low", "high"))
        interval = f"[{low:.2f}, {high:.2f}]"
    text = f"{value:.4f}" if key in LOWER_IS_BETTER else f"{100 * value:.2f}"
    return {"text": text, "interval": interval, "top": bool(top)}


def draw_intervals(board: pd.DataFrame, path) -> None:
    """Accuracy with its 95 % interval, out of fold and on the test set; each seed alone as a small tick."""
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
    axes.plot(middle, y, marker, color=colour, markersize=5, label={"oof": "out of fold", "test": "test set"}[part])
    for position, name, kind in zip(y, rows["name"], rows["kind"], strict=True):
        own = 100 * seeds.loc[seeds["name"] == name, f"{part}_accuracy"]
        if kind == "model" and len(own) > 1:
            axes.plot(
                own, np.full(len(own), position), "|", color=style.INK, markersize=6, markeredgewidth=0.9, zorder=3
            )
