"""Reliability diagram of the deployed ensemble, before and after a temperature, out of fold and on the test split."""

from foldstack.report.figures import style
from foldstack.report.words import PARTS

LOOKS = {
    "before": ("as deployed", style.BLUE, "o"),
    "after": ("with temperature {:.2f}, not applied", style.ORANGE, "D"),
}


def draw_calibration(metrics: dict, path) -> None:
    """Accuracy against confidence in bins, and below how many samples each bin holds; from metrics.json."""
    found, deployed = metrics["calibration"], metrics["deployed"]
    parts = {key: label for key, label in PARTS.items() if found[key]["before"]["bins"]}
    title = f"Does the confidence of the {deployed['kind']} “{deployed['name']}” match its accuracy?"
    with style.drawing(path, title, max(460 * len(parts), 640), 560) as figure:
        grid = figure.subplots(2, len(parts), squeeze=False, height_ratios=[4, 1])
        for column, (key, label) in enumerate(parts.items()):
            _draw_part(grid[0, column], found[key], found["temperature"])
            errors = " → ".join(f"{100 * found[key][state]['ece']:.1f}" for state in LOOKS)
            grid[0, column].set_title(f"{label}: calibration error (ECE) {errors} points")
            _draw_counts(grid[1, column], found[key])
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=3)


def _draw_part(axes, found: dict, temperature: float) -> None:
    axes.plot([0, 100], [0, 100], "--", color=style.MUTED, linewidth=0.9, label="confidence equals accuracy")
    for state, (label, colour, marker) in LOOKS.items():
        bins = found[state]["bins"]
        values = ([100 * each[key] for each in bins] for key in ("confidence", "accuracy"))
        axes.plot(*values, f"{marker}-", color=colour, markersize=5, linewidth=1.4, label=label.format(temperature))
    axes.set(xlim=(0, 101), ylim=(0, 101), ylabel="accuracy (%)")
    axes.grid()


def _draw_counts(axes, found: dict) -> None:
    bins = found["before"]["bins"]
    total = sum(each["samples"] for each in bins)
    edges = [100 * each["low"] for each in bins]
    heights = [100 * each["samples"] / total for each in bins]
    axes.bar(edges, heights, [100 * (each["high"] - each["low"]) for each in bins], align="edge", color=style.BLUE)
    axes.set(xlim=(0, 101), ylim=(0, 100), xlabel="confidence (%): probability of the predicted class")
    axes.set_ylabel("samples (%)")
