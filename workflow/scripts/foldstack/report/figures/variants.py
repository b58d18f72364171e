"""The exported ensemble and its smaller forms: accuracy against size and speed."""

import pandas as pd

from foldstack.report.figures import style

PANELS = {"megabytes": "size of the file (MB)", "speed_1": "speed, one image at a time (full = 1)",
          "speed_64": "speed, 64 images at a time (full = 1)"}  # fmt: skip
COLOURS = {"full": style.INK, "fp16": style.BLUE, "int8": style.ORANGE, "pruned": style.GREEN,
           "student": style.VERMILLION}  # fmt: skip


def variants_table(reports: dict[str, dict]) -> pd.DataFrame:
    """One row a form, the full file first, from {variant: the report of `variant_gate.measure`}.

    A variant that does not exist (nothing to prune) is a row of its name and `reason` only.
    """
    measured = [report for report in reports.values() if report["passed"] is not None]
    rows = [_row("full", measured[0], "full")] if measured else []
    for name, report in reports.items():
        missing = {"variant": name, "passed": False, "reason": "; ".join(report["reasons"])}
        rows.append(missing if report["passed"] is None else _row(name, report, "variant"))
    return pd.DataFrame(rows)


def _row(name: str, report: dict, which: str) -> dict:
    own, full = report[which], which == "full"
    row = {"variant": name, "passed": full or report["passed"], "megabytes": own["bytes"] / 1e6}
    row |= {"size_share": own["bytes"] / report["full"]["bytes"], "part": report["part"], "samples": report["samples"]}
    row |= {key: own[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "log_loss")}
    for key in ("difference", "low", "high"):
        row["difference" if key == "difference" else f"difference_{key}"] = 0.0 if full else report["difference"][key]
    row |= {"agreement": 1.0 if full else report["agreement"]}
    row |= {key: 0.0 if full else report[key] for key in ("max_abs_difference", "batch_max_abs_difference")}
    for batch, speed in report["speed"].items():
        row |= {f"speed_{batch}" + ("" if key == "median" else f"_{key}"): 1.0 if full else speed[key]
                for key in ("median", "low", "high")}  # fmt: skip
    return row | {
        "models": "" if full else " ".join(report["models"]),
        "reason": "; ".join(report["reasons"]) * (not full),
    }


def draw_variants(table: pd.DataFrame, path) -> None:
    """One panel for size and for each speed: accuracy with its 95 % interval; what failed its gate is hollow."""
    with style.drawing(path, "What smaller and faster forms of the ensemble cost", 980, 400) as figure:
        panels = figure.subplots(1, len(PANELS), sharey=True)
        rows = table[table["accuracy"].notna()] if "accuracy" in table else table.iloc[:0]
        for axes, (key, label) in zip(panels, PANELS.items(), strict=True):
            for row in rows.to_dict("records"):
                _draw_form(axes, row, key)
            axes.set_xlabel(label)
            axes.set_xlim(left=0)
            axes.margins(x=0.15)
            axes.grid()
        panels[0].set_ylabel("accuracy (%)")


def _draw_form(axes, row: dict, key: str) -> None:
    accuracy, colour = 100 * row["accuracy"], COLOURS[row["variant"]]
    reach = [[accuracy - 100 * row["accuracy_low"]], [100 * row["accuracy_high"] - accuracy]]
    face = colour if row["passed"] else "white"
    axes.errorbar(row[key], accuracy, reach, fmt="o", color=colour, markerfacecolor=face, capsize=3, linewidth=1)
    text = row["variant"] + ("" if row["passed"] else " (failed)")
    axes.annotate(
        text, (row[key], accuracy), textcoords="offset points", xytext=(6, 5), fontsize=style.SMALL, color=colour
    )
