"""Compare two finished experiments (`make compare A=results/x B=results/y`).

Prints what differs in how they were made, and whether the deployed methods' out-of-fold scores differ beyond noise.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from foldstack.errors import FoldstackError  # noqa: E402
from foldstack.evaluation.comparison import changes, read_experiment, scores  # noqa: E402
from foldstack.evaluation.metrics import METRICS  # noqa: E402

WIDTH = 44  # characters of a value


def described(rows: list[dict]) -> list[str]:
    """Lines on what differs."""
    if not rows:
        return ["Nothing differs in data, folds, models, stack, versions and code."]
    wide = max(len(row["what"]) for row in rows)
    return ["What differs (A → B):", ""] + [
        f"  {row['what']:<{wide}}  {_short(row['first'])} → {_short(row['second'])}" for row in rows
    ]


def judged(found: dict) -> list[str]:
    """Lines on the scores, the verdict last."""
    counts = found["samples"]
    how = (
        f"paired, on the {counts['both']:,} samples that both have with the same label"
        if found["paired"]
        else "unpaired, since they share no sample with the same label: wide intervals"
    )
    titles = {name: METRICS[name].title for name in found["metrics"]}
    wide = max(map(len, titles.values()))
    lines = [
        f"Out-of-fold scores of what is deployed (A {counts['first']:,}, B {counts['second']:,} samples; {how}):",
        "",
        f"  {'':<{wide}}{'A':>9}{'B':>9}{'B less A':>11}   95 % interval",
    ]
    for name, row in found["metrics"].items():
        better = (row["difference"] > 0) == METRICS[name].higher_is_better
        word = f"B is {'better' if better else 'worse'}" if row["beyond_noise"] else "within noise"
        reach = f"[{row['low']:+.4f}, {row['high']:+.4f}]"
        figures = f"{row['first']:>9.4f}{row['second']:>9.4f}{row['difference']:>+11.4f}"
        lines.append(f"  {titles[name]:<{wide}}{figures}   {reach:<20} {word}")
    lines += ["", "The intervals are over samples; another seed or other folds would move the scores too."]
    return lines


def _short(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help="such as results/digits")
    parser.add_argument("second")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    first, second = read_experiment(options.first), read_experiment(options.second)
    rows, found = changes(first, second), scores(first, second, options.resamples)
    if options.json:
        print(json.dumps({"changes": rows, "scores": found}, indent=2, sort_keys=True))
    else:
        print(f"A: {options.first}\nB: {options.second}\n", *described(rows), "", *judged(found), sep="\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FoldstackError as error:
        sys.exit(str(error))
