"""A study stage by stage: the stack of all models so far, on its own rows, out of fold and on the test split."""

import pandas as pd

from foldstack.report.figures import style

LINES = {"single_oof": ("best single model, out of fold", style.MUTED),
         "stack_oof": ("{method}, out of fold", style.BLUE),
         "stack_test": ("{method}, on the test split", style.PURPLE)}  # fmt: skip
SHIFT = 0.06  # so that intervals do not overlap


def draw_stages(table: pd.DataFrame, method: str, path) -> None:
    """One line a score, with 95 % intervals, over the stages of stages.csv."""
    with style.drawing(path, "What each stage brings", 980, 420) as figure:
        axes = figure.subplots()
        own = 100 * table["stack_own_rows"]
        axes.plot(own, "D--", color=style.VERMILLION, markersize=5, label=f"{method}, on its own rows: not an estimate")
        for number, (key, (label, colour)) in enumerate(LINES.items()):
            if table[key].notna().any():
                value, low, high = (100 * table[f"{key}{end}"] for end in ("", "_low", "_high"))
                text = label.format(method=method)
                at = table.index + SHIFT * (number - 1)
                axes.errorbar(at, value, [value - low, high - value], fmt="o-", color=colour, capsize=3, label=text)
        names = [f"{style.short(row.stage)}\n{row.models} model{'s' * (row.models > 1)}" for row in table.itertuples()]
        axes.set_xticks(table.index, names)
        axes.set_ylabel("accuracy (%)")
        axes.grid(axis="y")
        figure.legend(loc="outside lower left", ncols=2)
