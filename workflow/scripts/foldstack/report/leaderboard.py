"""The leaderboard as an HTML page."""

import pandas as pd
from markupsafe import Markup

from foldstack.ensemble.quorum import banner
from foldstack.errors import FoldstackError
from foldstack.evaluation.metric import Metric
from foldstack.evaluation.metrics import METRICS
from foldstack.report import page
from foldstack.report.words import PARTS, format_count

VERDICT = """
{% if warning %}<p><strong>{{ warning }}</strong></p>{% endif %}
<p>{{ verdict }}</p>
"""
BODY = """
<p>Sorted by out-of-fold accuracy, never by the test split.
<span class="top">Underlined</span>: the leading figure of its column.
{{ shares|join(", ") }} in %; macro figures and mAP are means over the classes; in brackets the 95 % interval.
Blends and stacks are cross-fitted: no row was scored by weights that saw it. Hover over a score for its interval.</p>
{% macro board(rows) %}
<div class="scroll"><table class="sortable">
<thead>
<tr class="groups"><th class="first"></th>
{% for title in parts.values() %}<th class="gap" colspan="{{ columns|length }}">{{ title }}</th>{% endfor %}
<th class="gap" colspan="2">One network</th></tr>
<tr><th class="first">Contender</th>
{% for part in parts %}{% for metric in columns %}<th{% if loop.first %} class="gap"{% endif %}>{{ metric.title }}</th>
{% endfor %}{% endfor %}<th class="gap">Parameters</th><th>FLOPs</th></tr>
</thead>
<tbody>
{% for row in rows %}
<tr class="{{ row.family }}">
<th scope="row" class="first"><span class="name" title="{{ row.name }}">{{ row.name }}</span><br>
<small>{{ row.kind }}</small></th>
{% for cell in row.cells %}<td{% if loop.index0 % columns|length == 0 %} class="gap"{% endif %}
{%- if cell.title %} title="{{ cell.title }}"{% endif %} data-order="{{ cell.text|replace("–", "") }}">
<span{% if cell.top %} class="top"{% endif %}>{{ cell.text }}</span>
{%- if cell.interval %}<br><small>{{ cell.interval }}</small>{% endif %}</td>
{% endfor %}
{% for size in row.sizes %}
<td{% if loop.first %} class="gap"{% endif %} data-order="{{ size.order }}">{{ size.text }}</td>
{% endfor %}</tr>
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
    """leaderboard.csv; raises FoldstackError where it is missing or misses a column."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"name": str})
    except (OSError, ValueError) as error:
        raise FoldstackError(f"{path} cannot be read ({error}); delete it and run again.") from error
    needed = {"kind", "name", "seed", "parameters", "flops"}
    needed |= {f"{part}_{metric.name}" for part in PARTS for metric in columns()}
    if missing := sorted(needed - set(table.columns)):
        raise FoldstackError(f"{path} has no columns {missing}; delete it and run again.")
    return table


def columns() -> list[Metric]:
    """The metrics that have a column of each part."""
    return [metric for metric in METRICS.values() if metric.column]


def ranked(board: pd.DataFrame) -> pd.DataFrame:
    """Models, blends and stacks, by decreasing OOF accuracy; equals keep their order."""
    rows = board[board["kind"] != "seed"]
    return rows.sort_values("oof_accuracy", ascending=False, kind="stable", na_position="last")


def render_leaderboard(board: pd.DataFrame, metrics: dict) -> str:
    """The page's HTML from leaderboard.csv and metrics.json."""
    counts = metrics["samples"]
    title = f"Leaderboard: {counts['train']:,} out-of-fold and {counts['test']:,} test samples"
    above = page.fill(VERDICT, verdict=metrics["verdict"], warning=banner(metrics.get("left_out", [])))
    return page.wrap(title, above + leaderboard_table(board, metrics))


def leaderboard_table(board: pd.DataFrame, metrics: dict) -> Markup:
    """The table, its explanation, and below it the single seeds' table, collapsed."""
    seeds = board[board["kind"] == "seed"].sort_values(["name", "seed"], kind="stable")
    if not (seeds.groupby("name").size() > 1).any():
        seeds = seeds.iloc[:0]  # one seed a model: the same figures as the models' own rows
    rows, single = _rows(ranked(board), metrics, mark=True), _rows(seeds, metrics, mark=False)
    shares = [metric.title for metric in columns() if metric.share]
    return page.fill(BODY, parts=PARTS, columns=columns(), shares=shares, rows=rows, seeds=single)


def _rows(table: pd.DataFrame, metrics: dict, mark: bool) -> list[dict]:
    deployed = metrics["deployed"]
    shown = [(part, metric, table[f"{part}_{metric.name}"].round(6)) for part in PARTS for metric in columns()]
    rows = []
    for index, row in table.iterrows():
        reach = {part: _intervals(metrics, row, part) for part in PARTS}
        cells = []
        for part, metric, values in shown:
            top = mark and values[index] == (values.max() if metric.higher_is_better else values.min())
            cells.append(_cell(row, part, metric, top, reach[part]))
        kind = (
            f"{row['kind']}, deployed"
            if (row["kind"], row["name"]) == (deployed["kind"], deployed["name"])
            else row["kind"]
        )
        kind = f"seed {int(row['seed'])}" if row["kind"] == "seed" else kind
        sizes = [
            {"text": format_count(row[key]), "order": int(row[key])}
            if pd.notna(row[key])
            else {"text": "–", "order": ""}
            for key in ("parameters", "flops")
        ]
        rows.append({"name": row["name"], "kind": kind, "family": row["kind"], "cells": cells, "sizes": sizes})
    return rows


def _intervals(metrics: dict, row: pd.Series, part: str) -> dict:
    entry = metrics[row["kind"]][row["name"]]
    entry = entry[str(int(row["seed"]))] if row["kind"] == "seed" else entry
    return entry[part].get("intervals", {})


def _cell(row: pd.Series, part: str, metric: Metric, top: bool, reach: dict) -> dict:
    value, interval, title = row[f"{part}_{metric.name}"], None, None
    if pd.isna(value):
        return {"text": "–", "interval": None, "top": False, "title": None}
    if metric.name == "accuracy":
        interval = "[{}, {}]".format(*(metric.text(row[f"{part}_accuracy_{end}"]) for end in ("low", "high")))
    if metric.name in reach:
        title = "{}: 95 % interval {} to {}".format(metric.title, *map(metric.text, reach[metric.name]))
    return {"text": metric.text(value), "interval": interval, "top": bool(top), "title": title}
