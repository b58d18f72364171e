"""The text that ends a run in the terminal, at most 100 columns wide: read from metrics.json alone."""

import textwrap

import numpy as np

from foldstack.ensemble.quorum import banner
from foldstack.evaluation import words
from foldstack.evaluation.metrics import METRICS
from foldstack.report.words import format_count

WIDTH = 96
NAME_WIDTH = 22
SHOWN_CLASSES = 20  # with a threshold; the report has all
NO_TEST = (
    "No untouched test split: all labelled samples were used for training, so the scores are those out of fold. "
    "`snakemake nested` adds scores of whole pipelines that never saw the fold they are scored on."
)


def summary(figures: dict) -> str:
    """summary.txt from the contents of metrics.json."""
    counts = figures["samples"]
    warning = banner(figures.get("left_out", []))
    paragraphs = [
        *([_wrapped(warning)] if warning else []),
        *map(_wrapped, cautions(figures)),
        "Verdict, from out-of-fold (OOF) figures with 95 % intervals over samples:",
        "\n".join(_item(entry["text"]) for entry in figures["findings"].values()),
        f"{counts['train']} training and {counts['test']} test samples, {len(figures['classes'])} classes.",
        "Each network on the fold that it never saw (%, mean ± sd over folds and seeds):",
        _networks(figures),
        "Of that, in accuracy (points): sd over seeds of all OOF rows, and sd over folds of their means:",
        _spread(figures),
        "Averaged over seeds, blended and stacked (accuracy in % with its 95 % interval; * is deployed):",
        _combinations(figures),
        _wrapped(
            "OOF: one fold's networks a sample; blends and stacks are cross-fitted. Test: the mean over all folds' "
            "networks, so it may be higher."
        ),
        *([_contributions(figures)] if len(figures["model"]) > 1 else []),
        *([_thresholds(figures)] if figures["thresholds"] else []),
    ]
    return "\n\n".join(paragraphs) + "\n"


def cautions(figures: dict) -> list[str]:
    """What a reader must know before the scores: of folds, a missing test split, duplicates, two labels."""
    found = [f"CAUTION: {text}" for text in figures["cautions"]]
    if not figures["samples"]["test"]:
        found.append(NO_TEST)
    same, near = (figures[key]["train_test"] for key in ("duplicates", "near_duplicates"))
    if same + near:
        found.append(
            f"CAUTION: {same} pairs of identical and {near} of nearly equal images occur in both training and test "
            "data: test scores are optimistic. data/duplicates.parquet names them."
        )
    twice = figures["two_labels"]
    if twice["identical"] + twice["near"]:
        first = "; ".join(f"{one} and {other}" for one, other in twice["pairs"][:2])
        found.append(
            f"CAUTION: {twice['identical']} identical and {twice['near']} nearly equal images have two labels "
            f"({first}): one label of each is wrong. data/duplicates.png shows them first."
        )
    return found


def _networks(figures: dict) -> str:
    columns = [metric for metric in METRICS.values() if metric.every_run and metric.share]
    above, below = zip(*(metric.title.rpartition(" ")[::2] for metric in columns), strict=True)
    lines = [f"{'':<{NAME_WIDTH}}" + "".join(f"{title:>12}" for title in above)]
    lines += [f"{'model':<{NAME_WIDTH}}" + "".join(f"{title:>12}" for title in below) + "  params  FLOPs"]
    for model, entry in figures["model"].items():
        runs = [run["oof"] for run in figures["runs"] if run["model"] == model]
        cells = "".join(f"{_mean_sd([run[metric.name] for run in runs]):>12}" for metric in columns)
        sizes = f"{format_count(entry['parameters']):>7}{format_count(entry['flops']):>7}"
        lines.append(f"{_name(model)}{cells} {sizes}")
    return "\n".join(line.rstrip() for line in lines)


def _spread(figures: dict) -> str:
    lines = [f"{'model':<{NAME_WIDTH}}{'seeds':>7}{'sd':>8}{'folds':>8}{'sd':>8}"]
    for model, metrics in figures["spread"].items():
        entry = metrics["accuracy"]
        cells = f"{entry['seeds']:>7}{_points(entry['seed_sd']):>8}{entry['folds']:>8}{_points(entry['fold_sd']):>8}"
        lines.append(f"{_name(model)}{cells}")
    return "\n".join(lines)


def _combinations(figures: dict) -> str:
    title = f"{'':<{NAME_WIDTH + 8}}{'OOF accuracy':<25}{'log-loss':<9}{'test accuracy':<25}{'log-loss':<9}"
    lines = [title.rstrip()]
    for kind in ("model", "blend", "stack"):
        for name, entry in figures[kind].items():
            cells = [f"{_interval(entry[part]):<25}{_number(entry[part]['log_loss']):<9}" for part in ("oof", "test")]
            marked = f"{kind}{'*' if figures['deployed'] == {'kind': kind, 'name': name} else ''}"
            lines.append(f"{_name(name)}{marked:<8}{''.join(cells)}".rstrip())
    return "\n".join(lines)


def _contributions(figures: dict) -> str:
    """What each model contributes: its weights, and the OOF accuracy of the blends without it."""
    lines = ["What each model contributes (points of OOF accuracy that the blends change by without it):", ""]
    lines += [f"{'':<{NAME_WIDTH}}{'greedy':<8}{'LightGBM':<10}{'mean without it':<25}greedy without it"]
    lines += [f"{'model':<{NAME_WIDTH}}{'weight':<8}{'gain':<10}"]
    for model, entry in figures["contribution"].items():
        shares = f"{_share(entry['weight']):<8}{_share(entry['importance']):<10}"
        changes = [words.change(entry[f"{blend}_without"]["accuracy"]) for blend in ("mean", "greedy")]
        lines.append(f"{_name(model)}{shares}{changes[0]:<25}{changes[1]}")
    return "\n".join(line.rstrip() for line in lines)


def _thresholds(figures: dict) -> str:
    """The threshold of each class and what it gives."""
    metric, target = next((key, value) for key, value in figures["threshold_target"].items() if value is not None)
    title = (
        f"{'class':<{NAME_WIDTH}}{'threshold':>10}{'OOF precision':>16}{'recall':>9}{'test precision':>17}{'recall':>9}"
    )
    lines = [f"Thresholds for {metric} {_share(target)}, chosen on the OOF rows (%):", "", title]
    rows = figures["thresholds"]
    if len(rows) > SHOWN_CLASSES:  # those that pay most for the target
        other = "precision" if metric == "recall" else "recall"
        rows = sorted(rows, key=lambda row: (row["threshold"] is not None, row["oof"][other]))[:SHOWN_CLASSES]
        lines[0] = f"Thresholds for {metric} {_share(target)}, chosen on the OOF rows (%): the {len(rows)} classes of "
        lines[0] += f"the lowest {other} of {len(figures['thresholds'])}"
    for row in rows:
        cells = [_share(row[part][key]) for part in ("oof", "test") for key in ("precision", "recall")]
        value = "none" if row["threshold"] is None else f"{row['threshold']:.4f}"
        lines.append(f"{_name(row['class'])}{value:>10}" + "".join(map(_right, cells, (16, 9, 17, 9))))
    return "\n".join(lines)


def _right(cell: str, width: int) -> str:
    return f"{cell:>{width}}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _points(sd: float | None) -> str:
    return "-" if sd is None else f"{100 * sd:.2f}"


def _item(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def _mean_sd(values: list[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _interval(part: dict) -> str:
    if part["accuracy"] is None:
        return "-"
    return words.interval(part["accuracy"], part["accuracy_low"], part["accuracy_high"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _name(name: str) -> str:
    short = name if len(name) < NAME_WIDTH else name[: NAME_WIDTH - 2] + "…"
    return f"{short:<{NAME_WIDTH}}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)
