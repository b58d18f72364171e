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

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1 (macro)",
    "map": "mAP (macro)",
    "log_loss": "log-loss",
    "brier": "Brier score",
}
LOWER_IS_BETTER = {"log_loss", "brier"}
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
    lines = [
        f"Out-of-fold scores of what is deployed (A {counts['first']:,}, B {counts['second']:,} samples; {how}):",
        "",
        f"  {'':<18}{'A':>9}{'B':>9}{'B less A':>11}   95 % interval",
    ]
    for name, row in found["metrics"].items():
        better = (row["difference"] < 0) == (name in LOWER_IS_BETTER)
        word = f"B is {'better' if better else 'worse'}" if row["beyond_noise"] else "within noise"
        reach = f"[{row['low']:+.4f}, {row['high']:+.4f}]"
        figures = f"{row['first']:>9.4f}{row['second']:>9.4f}{row['difference']:>+11.4f}"
        lines.append(f"  {NAMES[name]:<18}{figures}   {reach:<20} {word}")
    lines += ["", "The intervals are over samples; another seed or other folds would move the scores too."]
    return lines


def _short(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def main(arguments) -> int:
    first, second = read_experiment(arguments.first), read_experiment(arguments.second)
    rows, found = changes(first, second), scores(first, second, arguments.resamples)
    if arguments.json:
        print(json.dumps({"changes": rows, "scores": found}, indent=2, sort_keys=True))
    else:
        print(f"A: {arguments.first}\nB: {arguments.second}\n", *described(rows), "", *judged(found), sep="\n")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help="such as results/digits")
    parser.add_argument("second")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    try:
        sys.exit(main(parser.parse_args()))
    except FoldstackError as error:
        sys.exit(str(error))
