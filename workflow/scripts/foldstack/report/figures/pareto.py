"""Accuracy against size and time of the plain mean of each set of models."""

from foldstack.report.figures import style
from foldstack.report.words import format_count

BUDGETS = {"parameters": "parameters of all networks", "flops": "FLOPs of a prediction with all networks"}
NAMED = 8  # sets on the front that are named


def draw_pareto(metrics: dict, path) -> None:
    """One panel a budget: every set of models as a point, the front joined by a line and named; from metrics.json."""
    known = {key: label for key, label in BUDGETS.items() if any(row[key] for row in metrics["subsets"])}
    with style.drawing(path, "What fewer models would cost and bring (out of fold)", 980, 470) as figure:
        panels = figure.subplots(1, max(len(known), 1), squeeze=False)[0]
        if not known:
            panels[0].text(0.5, 0.5, "Parameters and FLOPs are not known.", ha="center")
            panels[0].set_axis_off()
        for axes, (key, label) in zip(panels, known.items(), strict=False):
            _draw_budget(axes, [row for row in metrics["subsets"] if row[key]], key, label)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=3)


def _draw_budget(axes, rows: list[dict], key: str, label: str) -> None:
    front = sorted((row for row in rows if key in row["fronts"]), key=lambda row: row[key])
    everything = max(rows, key=lambda row: len(row["models"]))
    points = {name: ([row[key] for row in group], [100 * row["accuracy"] for row in group])
              for name, group in (("all", rows), ("front", front), ("everything", [everything]))}  # fmt: skip
    axes.plot(*points["all"], "o", color=style.MUTED, markersize=4, alpha=0.6, label="mean of a set of models")
    axes.plot(*points["front"], "o-", color=style.BLUE, markersize=6, label="nothing cheaper is as accurate")
    axes.plot(*points["everything"], "D", color=style.VERMILLION, markersize=6, label="mean of all models")
    for row in front[-NAMED:]:
        text = style.short(" + ".join(row["models"]), 34)
        right = row[key] > (points["all"][0][0] * max(points["all"][0])) ** 0.5
        place = {"xytext": (-5, 6), "ha": "right"} if right else {"xytext": (6, -10), "ha": "left"}
        axes.annotate(
            text, (row[key], 100 * row["accuracy"]), textcoords="offset points", fontsize=style.SMALL, **place
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.xaxis.set_minor_formatter(lambda value, _: "")
    low, high = axes.get_ylim()
    axes.set(xlabel=label, ylabel="accuracy (%)", ylim=(low, high + 0.08 * (high - low)))
    axes.grid()
