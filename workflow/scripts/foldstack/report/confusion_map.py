"""The confusion matrix of many classes in the page: a picture to zoom and to point at, and the most confused pairs."""

import json

import numpy as np
from markupsafe import Markup
from PIL import Image

from foldstack.report import confusion, page
from foldstack.report.pictures import encoded

VIEW = 640  # px: what the map fills where its cells are not smaller than a pixel

STYLE = """
.map { display: grid; gap: .4rem; max-width: 42rem; margin-bottom: 1rem; }
.map .view { overflow: auto; border: 1px solid var(--line); border-radius: 6px; max-height: min(42rem, 85vh, 100vw);
width: fit-content; max-width: 100%; background: #fff; cursor: crosshair; touch-action: pan-x pan-y; }
.map img { display: block; image-rendering: pixelated; max-width: none; }
.map .bar-of-map { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; background: none; }
.map button { font: inherit; color: inherit; background: var(--stripe); border: 1px solid var(--line);
border-radius: 6px; padding: .1rem .7rem; cursor: pointer; } .map button:disabled { opacity: .4; cursor: default; }
.map output { min-height: 2.9em; color: var(--ink); overflow-wrap: anywhere; }
.pairs .name { max-width: min(15rem, 24vw); }
@media (prefers-color-scheme: dark) { .map .view { filter: invert(.91) hue-rotate(180deg); } }
@media print { .map .bar-of-map { display: none; } .map .view { max-height: none; } .map img { width: 100% !important;
height: auto !important; } }
"""

MAP = """
<p>Out of fold: a row is a true class, a column what it was taken for; blue is right, orange wrong. Classes that are
often confused are neighbours, so that what is confused in groups shows as squares on the diagonal.
Zoom, and point at a cell to read it.</p>
<div class="map" id="confusion-map">
<div class="bar-of-map"><button type="button" aria-label="Zoom out">−</button>
<button type="button" aria-label="Zoom in">+</button></div>
<div class="view" tabindex="0"><img src="{{ picture }}" width="{{ size }}" height="{{ size }}"
alt="Confusion matrix of {{ count }} classes, those alike side by side"></div>
<output>{{ count }} × {{ count }} cells</output>
</div>
<script type="application/json" id="confusion-cells">{{ cells }}</script>
<script type="module">
const { classes, order, cells, totals } = JSON.parse(document.getElementById("confusion-cells").textContent);
const box = document.getElementById("confusion-map");
const [view, image, output] = [".view", "img", "output"].map((part) => box.querySelector(part));
const [out, into] = box.querySelectorAll("button");
const n = classes.length, counts = new Map(cells.true.map((t, i) => [t * n + cells.predicted[i], cells.count[i]]));
const smallest = image.width / n;
let scale = smallest;
function zoom(to, x = view.clientWidth / 2, y = view.clientHeight / 2) {
  to = Math.min(Math.max(to, smallest), Math.max(smallest, 32));
  const left = (view.scrollLeft + x) * to / scale - x, top = (view.scrollTop + y) * to / scale - y;
  scale = to;
  image.width = image.height = n * scale;
  view.scrollTo(left, top);
  out.disabled = scale <= smallest;
  into.disabled = scale >= 32;
}
out.addEventListener("click", () => zoom(scale / 2));
into.addEventListener("click", () => zoom(scale * 2));
image.addEventListener("dblclick", (event) => {
  const place = view.getBoundingClientRect();
  zoom(scale * 2, event.clientX - place.left, event.clientY - place.top);
});
function read(event) {
  const place = image.getBoundingClientRect();
  const [row, column] = [event.clientY - place.top, event.clientX - place.left].map((at) => Math.floor(at / scale));
  const [t, p] = [order[row], order[column]];
  if (t === undefined || p === undefined) return;
  const count = counts.get(t * n + p) ?? 0;
  const share = totals[t] ? ` (${(100 * count / totals[t]).toFixed(1)} %)` : "";
  output.textContent = t === p
    ? `${classes[t]}: ${count} of ${totals[t]} right${share}`
    : `${classes[t]} → ${classes[p]}: ${count} of ${totals[t]}${share}`;
}
image.addEventListener("pointermove", read);
image.addEventListener("click", read);
zoom(scale);
</script>
"""

TABLE = """
<h3>The most confused pairs</h3>
<p>Out of fold, of each pair of classes how many samples of one were taken for the other; most first
({{ pairs|length }} shown of {{ "{:,}".format(total) }} pairs that were ever confused). The share is of all samples
of the two classes.</p>
<div class="scroll pairs"><table class="sortable"><thead><tr><th class="first">Class</th><th class="text">and class</th>
<th>Together</th><th>Share (%)</th><th>First for second</th><th>Second for first</th></tr></thead><tbody>
{% for row in pairs %}<tr><th scope="row" class="first"><span class="name" title="{{ row.first }}">{{ row.first }}
</span></th><td class="text"><span class="name" title="{{ row.second }}">{{ row.second }}</span></td>
<td data-order="{{ row.count }}">{{ "{:,}".format(row.count) }}</td><td>{{ "%.1f"|format(100 * row.share) }}</td>
{% for each in row.taken %}<td data-order="{{ each.count }}">{{ "{:,}".format(each.count) }}
<small>of {{ "{:,}".format(each.of) }}</small></td>
{% endfor %}</tr>
{% endfor %}</tbody></table></div>
"""


def confusion_part(metrics: dict, figure: Markup) -> Markup:
    """What the page shows: the `figure` with few classes, else a map to zoom and a table of the most confused pairs."""
    if len(metrics["classes"]) <= confusion.NAMED:
        return figure
    counts, classes = confusion.matrix(metrics), metrics["classes"]
    total = int((np.triu(counts + counts.T, 1) > 0).sum())
    return _map(metrics, counts) + page.fill(TABLE, pairs=confusion.pairs(counts, classes), total=total)


def _map(metrics: dict, counts: np.ndarray) -> Markup:
    order = confusion.by_likeness(counts)
    shown = confusion.colours(counts[np.ix_(order, order)], confusion.worst(counts))[..., :3]
    picture = encoded(Image.fromarray((255 * shown).round().astype(np.uint8)))
    cells = {"classes": metrics["classes"], "order": order.tolist(), "cells": metrics["confusion"]["oof"]}
    text = json.dumps(cells | {"totals": counts.sum(axis=1).tolist()}, ensure_ascii=False, separators=(",", ":"))
    return page.fill(
        MAP,
        picture=picture,
        count=len(order),
        size=len(order) * max(1, VIEW // len(order)),
        cells=Markup(text.replace("<", "\\u003c")),
    )
