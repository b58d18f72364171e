"""The report: one HTML file that opens offline, from the files of a finished run. Equal files give equal bytes."""

import re
from collections.abc import Sequence
from statistics import mean

import numpy as np
import pandas as pd
import yaml
from markupsafe import Markup, escape

from foldstack.data.pixels import Pixels
from foldstack.ensemble.members import Members
from foldstack.ensemble.quorum import banner
from foldstack.evaluation.metrics import outcome
from foldstack.evaluation.prediction import Table
from foldstack.report import confusion_map, interactive, mistakes, page, text
from foldstack.report.figures.style import duration
from foldstack.report.intake import intake_part
from foldstack.report.leaderboard import leaderboard_table
from foldstack.report.per_class import per_class_table
from foldstack.report.protocol import protocol_diagram
from foldstack.report.summary import cautions
from foldstack.report.words import PARTS, format_count

TOPICS = ("simplest", "worth", "members", "prune", "seeds", "calibration")  # metrics.json is sorted by name
STATES = {"before": "as deployed", "after": "with a temperature, not applied"}


def report(
    *,
    board: pd.DataFrame,
    metrics: dict,
    members: Members,
    deployed_oof: Table,
    samples: pd.DataFrame,
    pixels: Pixels,
    dataset: dict,
    intake: dict,
    folds: dict,
    runs: Sequence[dict],
    config: dict,
    figures: dict[str, Markup],
    factors: pd.DataFrame | None = None,
    retrieval: pd.DataFrame | None = None,
    stages: pd.DataFrame | None = None,
) -> str:
    """The report's HTML.

    Args:
        board, metrics: leaderboard.csv and metrics.json.
        deployed_oof: (N, C) cross-fitted probabilities of the deployed method, rows as in `members`.
        samples: samples.parquet; pixels: uint8, indexed by its column `row`.
        dataset, intake, folds: dataset.json, intake.json and folds.json.
        runs: the run.json of every run that takes part.
        config: the resolved config, as far as it decides a result.
        figures: the figures of other rules, by the stem of their file.
        factors: factors.csv, where the config has a grid.
        retrieval: retrieval.csv, where models learn from captions.
        stages: stages.csv, where the config has stages.
    """
    rows = samples.set_index("sample_id", drop=False).loc[members.sample_ids]
    deployed = outcome(members.labels, deployed_oof, [])
    predicted = deployed.predicted
    values = {
        "sections": text.SECTIONS,
        "figures": figures,
        "deployed": metrics["deployed"],
        "total": f"{len(rows):,}",
        "wrong": f"{int((predicted != members.labels).sum()):,}",
        "board": leaderboard_table(board, metrics),
        "confusion": confusion_map.confusion_part(metrics, figures["confusion"]),
        "classes": per_class_table(metrics),
        "contribution": metrics["contribution"] if len(members.models) > 1 else {},
        "factors": _factors(factors),
        "retrieval": _retrieval(retrieval),
        "stages": _stages(stages),
        "tiles": mistakes.most_confident(deployed, rows, pixels, members.classes),
        "groups": mistakes.by_group(members.labels, predicted, rows["group"]),
        "shared": mistakes.shared_errors(members),
        "calibration": _calibration(metrics),
        "thresholds": metrics["thresholds"],
        "target": _target(metrics["threshold_target"]),
        "costs": costs(runs),
        "networks": len(runs),
        "intake": intake_part(intake),
        "two_labels": dataset["two_labels"]["identical"] + dataset["two_labels"]["near"],
        "duplicates": {"identical": dataset["duplicates"], "nearly equal": dataset["near_duplicates"]},
    }
    values |= _verdict(metrics) | _protocol(members, metrics, runs) | _reproduction(metrics, runs, config)
    values |= {"what": _what(metrics, dataset), "data": _data(metrics, dataset, folds)}
    body = page.fill(text.MACROS + text.ANSWER + text.METHOD + text.REST, **values)
    title = f"Foldstack report: {config['experiment']}"
    return page.wrap(title, body + interactive.script(), text.STYLE + interactive.STYLE + confusion_map.STYLE)


def _what(metrics: dict, dataset: dict) -> str:
    models = metrics["model"]
    return (
        f"{len(models)} model{'s' * (len(models) > 1)} ({', '.join(models)}), {metrics['n_splits']} folds, "
        f"{len(metrics['classes'])} classes of {dataset['task']}; deployed is the "
        f"{metrics['deployed']['kind']} “{metrics['deployed']['name']}”."
    )


def _verdict(metrics: dict) -> dict:
    """What the page says first."""
    deployed = metrics["deployed"]
    entry, findings, lead = metrics[deployed["kind"]][deployed["name"]], metrics["findings"], []
    for part, where in PARTS.items():
        if entry[part]["accuracy"] is not None:
            low, high = 100 * entry[part]["accuracy_low"], 100 * entry[part]["accuracy_high"]
            value = f"{100 * entry[part]['accuracy']:.2f} %"
            title, interval = f"Accuracy, {where.lower()}", f"95 %: {low:.2f} to {high:.2f}"
            lead.append({"title": title, "value": value, "interval": interval})
    return {
        "lead": lead,
        "findings": [_with_code(findings[topic]["text"]) for topic in TOPICS if topic in findings],
        "left_out": banner(metrics["left_out"]),
        "cautions": [_with_code(text) for text in cautions(metrics)],
    }


def _with_code(words: str) -> Markup:
    """`text` in backquotes as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))


def _protocol(members: Members, metrics: dict, runs: Sequence[dict]) -> dict:
    seeds = sum(len(own) for own in members.seeds.values())
    whose = f"{len(members.models)} models, {seeds} seeds in all"
    inner = any(run["config"]["selection"] == "inner" for run in runs)
    sizes = np.bincount(members.folds).tolist()
    return {"diagram": protocol_diagram(sizes, metrics["samples"]["test"], whose, inner), "inner": inner}


def _factors(table: pd.DataFrame | None) -> list[dict]:
    """One row a level, each measure's change as `points` of the page wants it, None for a baseline."""
    rows = [] if table is None else table.to_dict("records")
    for row in rows:
        for measure in ("accuracy", "log_loss"):
            change = {key: row[f"{measure}_{key}"] for key in ("difference", "low", "high")}
            row[f"{measure}_change"] = None if pd.isna(change["difference"]) else change
    return rows


def _retrieval(table: pd.DataFrame | None) -> list[dict]:
    """One row a model, part and direction, with words for the latter two."""
    rows = [] if table is None else table.to_dict("records")
    words = {"image_to_text": "the caption", "text_to_image": "the image"}
    for row in rows:
        row["recalls"] = [[row[f"r{depth}{end}"] for end in ("", "_low", "_high")] for depth in (1, 5, 10)]
        row |= {"part": PARTS[row["part"]].lower(), "looked_for": words[row["direction"]]}
    return rows


def _stages(table: pd.DataFrame | None) -> list[dict]:
    """One row a stage; accuracies as texts, `gain` as `points` of the page wants it, None for the first."""
    rows = [] if table is None else table.to_dict("records")
    for row in rows:
        row |= {key: _share(row, key) for key in ("single_oof", "stack_oof", "stack_test")}
        row["own_rows"] = f"{100 * row['stack_own_rows']:.2f}"
        change = {"difference": row["gain"], "low": row["gain_low"], "high": row["gain_high"]}
        row["gain"] = None if pd.isna(row["gain"]) else change
    return rows


def _share(row: dict, key: str) -> Markup:
    """A share in percent with its interval; a dash where there is none."""
    if pd.isna(row[key]):
        return Markup("–")
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return Markup(f"{100 * row[key]:.2f} <small>[{100 * low:.1f}, {100 * high:.1f}]</small>")


def _calibration(metrics: dict) -> list[dict]:
    found = metrics["calibration"]
    return [
        {"name": f"{state}, {where.lower()}", **{key: found[part][name][key] for key in ("ece", "brier", "log_loss")}}
        for part, where in PARTS.items()
        if found[part]["before"]["bins"]
        for name, state in STATES.items()
    ]


def _target(target: dict) -> str:
    """Such as "precision 95 %"; empty without one."""
    return "".join(f"{name} {100 * value:g} %" for name, value in target.items() if value is not None)


def costs(runs: Sequence[dict]) -> list[dict]:
    """One row a model, as texts."""
    rows = []
    for model in dict.fromkeys(run["model"] for run in runs):
        own = [run for run in runs if run["model"] == model]
        seconds = [run["seconds"] for run in own]
        memory = [run["peak_memory_mb"] for run in own if run["peak_memory_mb"] is not None]
        epochs = sorted({run["epochs_run"] for run in own})
        row = {"model": model, "runs": len(own), "each": duration(mean(seconds)), "all": duration(sum(seconds))}
        row |= {"memory": f"{max(memory):,.0f} MB" if memory else "–"}
        row |= {"epochs": f"{epochs[0]}–{epochs[-1]}" if len(epochs) > 1 else f"{epochs[0]}"}
        row |= {key: format_count(own[0][key]) if own[0][key] is not None else "–" for key in ("parameters", "flops")}
        rows.append(row | {"device": ", ".join(sorted({str(run["device"]) for run in own}))})
    return rows


def _data(metrics: dict, dataset: dict, folds: dict) -> str:
    counts, (height, width) = metrics["samples"], dataset["image_size"]
    out = dataset["quarantined"]
    return (
        f"{counts['train']:,} training and {counts['test']:,} test samples, stored as {width} × {height} px, "
        f"{'grey' if dataset['channels'] == 1 else 'colour'}; "
        + (
            f"{out:,} could not be read and were left out (data/quarantine.csv). "
            if out
            else "no sample was left out. "
        )
        + f"Folds: {folds['strategy'].replace('_', ' ')}; the training samples form "
        f"{folds['components']:,} sets of samples that belong together, each within one fold."
    )


def _reproduction(metrics: dict, runs: Sequence[dict], config: dict) -> dict:
    versions: dict[str, set] = {}
    for run in runs:
        for package, version in run["versions"].items():
            versions.setdefault(package, set()).add(version)
    proof = metrics["proof"]
    hashes = {"data": proof["data_digest"], "folds": proof["folds_digest"]}
    hashes |= {f"out-of-fold table of {member}": digest for member, digest in sorted(proof["members"].items())}
    return {
        "config": yaml.safe_dump(config, sort_keys=True, allow_unicode=True, width=100),
        "versions": {package: ", ".join(sorted(found)) for package, found in sorted(versions.items())},
        "hashes": hashes,
        "code": "\n".join(sorted({entry for run in runs for entry in run["code"]})),
    }
