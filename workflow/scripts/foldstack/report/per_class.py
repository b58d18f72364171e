"""The deployed ensemble class by class, as an HTML page."""

import numpy as np
from markupsafe import Markup

from foldstack.report import confusion, interactive, page
from foldstack.report.words import PARTS

FIGURES = {"precision": "Precision", "recall": "Recall", "f1": "F1", "average_precision": "AP"}

BODY = """
<p>Sorted by out-of-fold F1, weakest class first. All figures in %; the bar behind F1 is its length from 0 to 100.
“Taken for” is the wrong class that a class is most often given, out of fold. Figures of small classes swing widely.</p>
<div class="scroll"><table class="sortable">
<thead>
<tr class="groups"><th class="first"></th>
{% for title in parts.values() %}<th class="gap" colspan="{{ figures|length + 1 }}">{{ title }}</th>{% endfor %}
<th class="gap"></th></tr>
<tr><th class="first">Class</th>
{% for part in parts %}<th class="gap">Samples</th>
{% for title in figures.values() %}<th>{{ title }}</th>{% endfor %}{% endfor %}
<th class="gap text">Taken for</th></tr>
</thead>
<tbody>
{% for row in rows %}
<tr><th scope="row" class="first"><span class="name" title="{{ row.name }}">{{ row.name }}</span></th>
{% for part in row.parts %}
<td class="gap{% if not part.support %} warn{% endif %}" data-order="{{ part.support }}">
{{- "{:,}".format(part.support) }}</td>
{% for key in figures %}{% set value = part[key] %}
<td data-order="{{ "" if value is none else value }}"
{%- if key == "f1" and value is not none %} class="bar" style="--share: {{ "%.1f"|format(100 * value) }}%"{% endif %}>
{{- "–" if value is none else "%.1f"|format(100 * value) }}</td>
{% endfor %}{% endfor %}
<td class="gap text">{{ row.taken or "–" }}{% if row.taken %} <small>{{ row.count }}</small>{% endif %}</td></tr>
{% endfor %}
</tbody>
</table></div>
"""


def render_per_class(metrics: dict) -> str:
    """The page's HTML from metrics.json."""
    deployed = metrics["deployed"]
    count = len(metrics["classes"])
    title = f"The {deployed['kind']} “{deployed['name']}”, class by class ({count} classes)"
    table = per_class_table(metrics)
    return page.wrap(title, table + interactive.script() if count > interactive.PAGED else table, interactive.STYLE)


def per_class_table(metrics: dict) -> Markup:
    """The table and its explanation; a part without samples, such as an empty test split, is left out."""
    deployed = metrics["deployed"]
    entry = metrics[deployed["kind"]][deployed["name"]]
    parts = {part: title for part, title in PARTS.items() if entry[part]["per_class"]}
    counts, rows = confusion.matrix(metrics), []
    for i, name in enumerate(metrics["classes"]):
        figures = [{key: column[i] for key, column in entry[part]["per_class"].items()} for part in parts]
        rows.append({"name": name, "parts": figures} | _taken_for(counts[i], i, metrics["classes"]))
    rows.sort(key=lambda row: (row["parts"][0]["f1"] is None, row["parts"][0]["f1"]))
    return page.fill(BODY, parts=parts, figures=FIGURES, rows=rows)


def _taken_for(counts: np.ndarray, i: int, classes: list[str]) -> dict:
    wrong = counts.copy()
    wrong[i] = 0
    if not wrong.any():
        return {"taken": None, "count": None}
    return {"taken": classes[wrong.argmax()], "count": f"{wrong.max():,} of {counts.sum():,}"}
