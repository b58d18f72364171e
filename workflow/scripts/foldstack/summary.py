"""The text that ends a run in the terminal, at most 100 columns wide: read from metrics.json alone."""

import textwrap

import numpy as np

from foldstack.quorum import banner

WIDTH = 96
NAME_WIDTH = 22
COLUMNS = {"map": "mAP", "precision": "precision", "recall": "recall", "f1": "F1", "accuracy": "accuracy"}


def summary(figures: dict) -> str:
    """summary.txt from the contents of metrics.json."""
    counts = figures["samples"]
    warning = banner(figures.get("left_out", []))
    paragraphs = [
        *([_wrapped(warning)] if warning else []),
        *map(_wrapped, _duplicates(figures)),
        f"{counts['train']} training and {counts['test']} test samples, {len(figures['classes'])} classes.",
        "Each network on the fold that it never saw (%, mean ± sd over folds and seeds):",
        _networks(figures),
        "Averaged over seeds, blended and stacked (accuracy in % with its 95 % interval):",
        _combinations(figures),
        _wrapped(
            "OOF: one fold's networks a sample; blends and stacks are cross-fitted. Test: the mean over all folds' "
            "networks, so it may be higher."
        ),
        _wrapped(figures["verdict"]),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _duplicates(figures: dict) -> list[str]:
    """A warning where test samples have a double among the training samples."""
    same, near = (figures[key]["train_test"] for key in ("duplicates", "near_duplicates"))
    if not same + near:
        return []
    return [
        f"CAUTION: {same} pairs of identical and {near} of nearly equal images stand on both sides, one of the two "
        "in the training, one in the test samples: the test scores flatter. data/duplicates.parquet names them."
    ]


def human(count: float | None) -> str:
    """A count with three digits and a letter: 11173962 -> '11.2M'; '-' for None."""
    if count is None:
        return "-"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            scaled = count / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f}{letter}"
    return f"{count:.0f}"


def _networks(figures: dict) -> str:
    lines = [f"{'model':<{NAME_WIDTH}}" + "".join(f"{title:>12}" for title in COLUMNS.values()) + "  params  FLOPs"]
    for model, entry in figures["model"].items():
        runs = [run["oof"] for run in figures["runs"] if run["model"] == model]
        cells = "".join(f"{_mean_sd([run[key] for run in runs]):>12}" for key in COLUMNS)
        sizes = f"{human(entry['parameters']):>7}{human(entry['flops']):>7}"
        lines.append(f"{_name(model)}{cells} {sizes}")
    return "\n".join(lines)


def _combinations(figures: dict) -> str:
    title = f"{'':<{NAME_WIDTH + 8}}{'OOF accuracy':<25}{'log-loss':<9}{'test accuracy':<25}{'log-loss':<9}"
    lines = [title.rstrip()]
    for kind in ("model", "blend", "stack"):
        for name, entry in figures[kind].items():
            cells = [f"{_interval(entry[part]):<25}{_number(entry[part]['log_loss']):<9}" for part in ("oof", "test")]
            lines.append(f"{_name(name)}{kind:<8}{''.join(cells)}".rstrip())
    return "\n".join(lines)


def _mean_sd(values: list[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _interval(part: dict) -> str:
    if part["accuracy"] is None:
        return "-"
    low, high = 100 * part["accuracy_low"], 100 * part["accuracy_high"]
    return f"{100 * part['accuracy']:.2f} [{low:.2f}, {high:.2f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _name(name: str) -> str:
    short = name if len(name) < NAME_WIDTH else name[: NAME_WIDTH - 2] + "…"
    return f"{short:<{NAME_WIDTH}}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH)
