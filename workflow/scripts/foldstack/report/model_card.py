"""MODEL_CARD.md: what goes with the exported file, filled from the run (Mitchell et al., "Model Cards for Model
Reporting", 2019). Nothing in it depends on when or where the run was made, and it names no path of the machine.
"""

import numpy as np
import yaml

from foldstack.evaluation.metric import Metric
from foldstack.evaluation.metrics import METRICS
from foldstack.report import page
from foldstack.report.summary import NO_TEST
from foldstack.report.words import PARTS, format_count

ENDS = 5  # weakest and strongest classes, smallest and largest ones, that are named
FEW = 30  # training samples
LISTED = 30  # with more classes only those at the ends are named

CARD = """\
# {{ experiment }}: an image ensemble

{% for text in cautions %}
> **{{ text }}**

{% endfor %}
`ensemble.onnx` (SHA-256 `{{ digest }}`) takes {{ task }} as uint8 `{{ shape }}` of any size and gives the
probabilities of {{ classes|length }} classes. Inside are {{ networks }} networks (`{{ models }}`; {{ n_splits }}
folds), combined by `{{ method }}`: {{ parameters }} parameters. It needs onnxruntime {{ onnxruntime }}.

**Classes:** {{ named }}.

## Intended use

*To be filled in: by whom, on which images, for what decision, and what it must not be used for.* Nothing below was
measured on images from another source than the data described here.

**Licence:** {{ licence }}.

## Data

{{ train }} training and {{ test }} test samples, stored as {{ width }} × {{ height }} px, {{ channels }} channel(s)
{%- if quarantined %}; {{ quarantined }} could not be read and were left out{% endif %}.
{{ same }} pairs of identical and {{ near }} of nearly equal training samples were kept in one fold each;
{{ across }} such pairs have one sample in training and one in the test split.

{% if more %}
Of {{ classes|length }} classes the smallest and the largest by training samples; the median class has {{ median }}.
`data/dataset.json` counts all.

{% endif %}
| class | training samples | test samples |
|---|---:|---:|
{% for row in counts %}
| {{ row.name }} | {{ row.train }} | {{ row.test }} |
{% endfor %}

## How it was validated

{{ protocol }}
No run saw the fold that it predicts, and no stack the rows that it is scored on
{%- if test %}, and the test split was used for no choice{% endif %}.

## Scores

With 95 % intervals over samples. Macro figures and mAP are means over the classes. For {{ lower }}, lower is better.

| |{% for title in parts.values() %} {{ title }} | 95 % |{% endfor %}

|---|{% for _ in parts %}---:|---|{% endfor %}

{% for row in scores %}
| {{ row.name }} |{% for cell in row.cells %} {{ cell.value }} | {{ cell.interval }} |{% endfor %}

{% endfor %}

{{ verdict }}

## Calibration

{{ calibration }}

## Limits

- Weakest classes by out-of-fold F1: {{ weakest }}.
{% if more %}
- Strongest: {{ strongest }}. `evaluation/per_class.html` has all of them.
{% endif %}
- The intervals include neither the variation between trainings nor any shift of the data.
- An image that belongs to none of the classes still gets one; look at the probability, and set a threshold.
{% if few %}
- Classes with fewer than {{ least }} training samples, whose figures are very uncertain: {{ few }}.
{% endif %}

## How to reproduce

Save this as `config.yaml`{% if foreign %} with `data.path` set to where the data are{% endif %}, in a checkout of the
same code, then `make setup` and `.venv/bin/snakemake --cores all --configfile config.yaml`.

```yaml
{{ config -}}
```

| | |
|---|---|
{% for name, value in hashes.items() %}
| {{ name }} | `{{ value }}` |
{% endfor %}

{% if test %}
The exported file passed its gate: it agrees with the pipeline’s own predictions for {{ gate.samples }} samples within
{{ "%.1e"|format(gate.pipeline.max_abs_difference) }}, with {{ gate.pipeline.label_flips }} flipped labels.
{% else %}
The exported file passed its gate on {{ gate.samples }} training samples: each network agrees with its own out-of-fold
predictions within {{ "%.1e"|format(gate.pipeline.members_max_abs_difference) }}, and the combination agrees with the
pipeline’s own within {{ "%.1e"|format(gate.max_abs_difference) }}, with {{ gate.label_flips }} flipped labels.
{% endif %}
"""


def model_card(metrics: dict, dataset: dict, described: dict, gate: dict, config: dict, digest: str) -> str:
    """The card's text.

    Args:
        metrics, dataset, gate: metrics.json, dataset.json and export/parity.json.
        described: the metadata of ensemble.onnx.
        config: the resolved config, as far as it decides a result.
        digest: SHA-256 of ensemble.onnx.
    """
    deployed = metrics["deployed"]
    entry = metrics[deployed["kind"]][deployed["name"]]
    parts = {part: title for part, title in PARTS.items() if entry[part]["accuracy"] is not None}
    listed = [metric for metric in METRICS.values() if metric.listed]
    height, width = dataset["image_size"]
    counts = _counts(dataset)
    by_size = sorted(counts, key=lambda row: row["train"])
    by_f1 = _by_f1(dataset["classes"], entry["oof"]["per_class"]["f1"])
    values = {
        "experiment": _cell(config["experiment"]),
        "cautions": _cautions(metrics),
        "digest": digest,
        "task": "pairs of images" if dataset["task"] == "pairs" else "images",
        "shape": described["input"]["shape"],
        "classes": dataset["classes"],
        "named": _named(list(map(_cell, dataset["classes"])), "; `classes` in the file’s metadata has all"),
        "networks": sum(len(seeds) for seeds in described["seeds"].values()) * described["n_splits"],
        "models": ", ".join(described["models"]),
        "parameters": _parameters(metrics, described),
        "train": metrics["samples"]["train"],
        "test": metrics["samples"]["test"],
        "width": width,
        "height": height,
        "same": dataset["duplicates"]["train"],
        "near": dataset["near_duplicates"]["train"],
        "across": dataset["duplicates"]["train_test"] + dataset["near_duplicates"]["train_test"],
        "more": len(counts) > LISTED,
        "counts": counts if len(counts) <= LISTED else by_size[:ENDS] + by_size[-ENDS:],
        "median": f"{np.median([row['train'] for row in counts]):g}",
        "parts": parts,
        "scores": [_score(entry, metric, parts) for metric in listed],
        "lower": " and ".join(metric.title for metric in listed if not metric.higher_is_better),
        "verdict": metrics["verdict"],
        "calibration": "T" + metrics["findings"]["calibration"]["text"].removeprefix("Calibration: t"),
        "weakest": ", ".join(by_f1[:ENDS]),
        "strongest": ", ".join(by_f1[: -ENDS - 1 : -1]),
        "few": _named([row["name"] for row in by_size if row["train"] < FEW]),
        "least": FEW,
        "foreign": bool(config["data"]["path"]),
        "config": yaml.safe_dump(_without_paths(config), sort_keys=True, allow_unicode=True, width=100),
        "hashes": {key: described[f"{key}_digest"] for key in ("data", "folds", "config", "code")},
        "gate": gate,
        "licence": _cell(described.get("licence") or "none is stated; ask whoever made it (`export.licence`)"),
    }
    values |= {key: described[key] for key in ("n_splits", "method", "onnxruntime", "channels", "protocol")}
    return page.plain(CARD, **values, quarantined=dataset["quarantined"])


def _cell(text: str) -> str:
    """A name that breaks neither a table nor a list."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _cautions(metrics: dict) -> list[str]:
    out = sorted({f"{run['model']} seed {run['seed']}" for run in metrics["left_out"]})
    across = metrics["duplicates"]["train_test"] + metrics["near_duplicates"]["train_test"]
    return [
        *([f"Incomplete: made without {', '.join(out)}, whose runs failed."] if out else []),
        *metrics["cautions"],
        *([] if metrics["samples"]["test"] else [NO_TEST]),
        *(
            [f"{across} pairs of equal images occur in both training and test data: test scores are optimistic."]
            if across
            else []
        ),
    ]


def _parameters(metrics: dict, described: dict) -> str:
    sizes = [metrics["model"][m]["parameters"] for m in described["models"] for _ in described["seeds"][m]]
    return format_count(None if None in sizes else sum(sizes) * described["n_splits"])


def _counts(dataset: dict) -> list[dict]:
    counts = {split: dataset["counts"].get(split, {}) for split in ("train", "test")}
    return [
        {"name": _cell(name)} | {split: by_class.get(name, 0) for split, by_class in counts.items()}
        for name in dataset["classes"]
    ]


def _score(entry: dict, metric: Metric, parts: dict) -> dict:
    cells = []
    for part in parts:
        value, reach = entry[part][metric.name], entry[part]["intervals"].get(metric.name)
        cells.append(
            {
                "value": "–" if value is None else f"{value:.4f}",
                "interval": f"{reach[0]:.4f} to {reach[1]:.4f}" if reach else "–",
            }
        )
    return {"name": metric.title, "cells": cells}


def _named(names: list[str], where: str = "") -> str:
    """All of them, or the first, how many more there are, and where they are."""
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest:,} more{where}" if rest > 0 else "")


def _by_f1(classes: list[str], f1: list[float | None]) -> list[str]:
    """`name (F1)` of the classes that have one, weakest first."""
    known = sorted((value, i) for i, value in enumerate(f1) if value is not None)
    return [f"{_cell(classes[i])} ({value:.2f})" for value, i in known]


def _without_paths(config: dict) -> dict:
    """The config less the paths, which are of one machine."""
    data = {key: value for key, value in config["data"].items() if key not in ("path", "test_path")}
    return config | {"data": data}
