"""The verdict in words: read from metrics.json, judged on the out-of-fold rows, never on the test split.

"Within noise" is: the 95 % interval of the paired difference in accuracy reaches zero. The intervals are over samples;
how much a difference would change with other seeds or folds is not in them.
"""

from foldstack.ensemble.stacking import METHODS, STACKS
from foldstack.evaluation.contribution import smallest

NAMES = {
    "best_single": "the best single model",
    "mean": "the plain mean",
    "greedy": "the greedy blend",
    "pool": "the log-linear pool",
    "logistic": "the logistic stack",
    "lightgbm": "the LightGBM stack",
}
BUDGETS = {"parameters": "parameters", "flops": "FLOPs"}
REFERENCES = ("best_single", "mean", "greedy")
NAMED = 4


def verdict(figures: dict) -> dict:
    """`verdict`, the two sentences that matter most, and `findings`, {topic: {`text`, ...}}, one entry an answer."""
    findings = {"simplest": simplest(figures)}
    if len(figures["model"]) > 1:
        findings |= {"worth": worth(figures), "members": members(figures), "prune": prune(figures)}
    findings |= {"seeds": seeds(figures), "calibration": calibrated(figures)}
    text = " ".join(findings[topic]["text"] for topic in ("simplest", "worth") if topic in findings)
    return {"verdict": text, "findings": findings}


def simplest(figures: dict) -> dict:
    """The first of METHODS that is within noise of the one with the highest out-of-fold accuracy."""
    known = figures["blend"] | figures["stack"]
    methods = [name for name in METHODS if name in known]
    accuracy = {name: known[name]["oof"]["accuracy"] for name in methods}
    highest = max(methods, key=lambda name: accuracy[name])  # the simplest of equals
    gaps = {name: _less(figures, highest, name) for name in methods if name != highest}
    chosen = next(name for name in methods if name == highest or gaps[name]["low"] <= 0)
    rest = "itself the highest" if chosen == highest else f"highest is {NAMES[highest]}, {_points(gaps[chosen])}"
    text = (
        f"The simplest combination within noise of the highest is {NAMES[chosen]} "
        f"(OOF accuracy {_percent(accuracy[chosen])}; {rest})."
    )
    deployed = figures["deployed"]["name"]
    if chosen != deployed:
        text += f" `stack.method: {chosen}` would deploy it instead of {NAMES[deployed]}."
    return {"text": text, "name": chosen, "highest": highest}


def worth(figures: dict) -> dict:
    """Was a learned stack (the deployed one, else LightGBM) worth it, against each of REFERENCES?"""
    name = figures["deployed"]["name"] if figures["deployed"]["name"] in STACKS else "lightgbm"
    found = {reference: _less(figures, name, reference) for reference in REFERENCES}
    gained = [reference for reference in REFERENCES if found[reference]["low"] > 0]
    lost = [reference for reference in REFERENCES if found[reference]["high"] < 0]
    if lost:
        judgement = f"Stacking lost to {NAMES[lost[0]]}: prefer that"
    elif len(gained) == len(REFERENCES):
        judgement = "Stacking was worth it"
    elif gained:
        rest = next(reference for reference in REFERENCES if reference not in gained)
        judgement = f"Stacking gained nothing over {NAMES[rest]}: within noise"
    else:
        judgement = "Stacking was not worth it: within noise"
    clauses = "; ".join(f"{_points(found[reference])} against {NAMES[reference]}" for reference in REFERENCES)
    text = f"{judgement} (OOF accuracy of {NAMES[name]}: {clauses})."
    return {"text": text, "name": name, "worth_it": len(gained) == len(REFERENCES)}


def members(figures: dict) -> dict:
    """What leaving out each model does to the plain mean."""
    without = {model: entry["mean_without"]["accuracy"] for model, entry in figures["contribution"].items()}
    needed = sorted((m for m in without if without[m]["high"] < 0), key=lambda m: without[m]["difference"])
    harmful = sorted(m for m in without if without[m]["low"] > 0)
    parts = []
    if needed:
        listed = ", ".join(f"{model} ({_points(without[model])})" for model in needed[:NAMED])
        more = f" and {len(needed) - NAMED} more" if len(needed) > NAMED else ""
        parts.append(f"the plain mean loses without {listed}{more}")
    if harmful:
        listed = ", ".join(f"{model} ({_points(without[model])})" for model in harmful[:NAMED])
        parts.append(f"it gains without {listed}" if needed else f"the plain mean gains without {listed}")
    rest = [model for model in without if model not in needed and model not in harmful]
    if rest:
        what = "it" if parts else "the plain mean"
        shown = ", ".join(rest[:NAMED]) + (f" and {len(rest) - NAMED} more" if len(rest) > NAMED else "")
        parts.append(f"leaving out {shown} changes {what} within noise" + (", each alone" if len(rest) > 1 else ""))
    text = "; ".join(parts)
    return {"text": f"Members: {text}.", "needed": needed, "harmful": harmful, "spare": rest}


def prune(figures: dict) -> dict:
    """The smallest plain mean within noise of that of all models, by parameters and by FLOPs."""
    everything = max(figures["subsets"], key=lambda row: len(row["models"]))
    rows = {budget: smallest(figures["subsets"], budget) for budget in ("parameters", "flops")}
    parts: dict[tuple, list[str]] = {}
    for budget, row in rows.items():
        if row is not None and row is not everything:
            share = f"{_percent(row[budget] / everything[budget], 0)} of the {BUDGETS[budget]}"
            parts.setdefault(tuple(row["models"]), [_points(row["difference"])]).append(share)
    text = "; ".join(
        f"{' and '.join(kept)} alone would do for {' and '.join(shares)} ({points} against the plain mean of all)"
        for kept, (points, *shares) in parts.items()
    )
    text = text or "no smaller set of models is within noise of the plain mean of all"
    return {"text": f"On a budget: {text}."} | {budget: row and row["models"] for budget, row in rows.items()}


def seeds(figures: dict) -> dict:
    """What a further seed of every model would likely change."""
    further = figures["further_seed"]
    if "mean" in further and len(figures["model"]) > 1:
        entry, whose = further["mean"], "A further seed of every model would likely change the plain mean by"
    elif further:
        model = max(further, key=lambda name: abs(further[name]["further"]["brier"]))
        entry, whose = further[model], f"A further seed of {model} would likely change it by"
    else:
        return {"text": "What a further seed would change is not known: train each model with two seeds to see it."}
    change, limit = entry["further"], entry["limit"]
    text = (
        f"{whose} {100 * change['accuracy']:+.2f} points of accuracy and {change['brier']:+.4f} of Brier score, "
        f"any number of them by {100 * limit['accuracy']:+.2f} and {limit['brier']:+.4f} (from what averaging "
        f"{entry['seeds']} seeds gained over one, extrapolated as 1 / seeds)."
    )
    return {"text": text}


def calibrated(figures: dict) -> dict:
    """How far the deployed probabilities are off, and whether a temperature would help."""
    found, name = figures["calibration"], NAMES[figures["deployed"]["name"]]
    before, after = found["oof"]["before"], found["oof"]["after"]
    text = (
        f"Calibration: the confidence of {name} is off by {100 * before['ece']:.1f} points on average (ECE, out of "
        f"fold); with a temperature of {found['temperature']:.2f}, which is not applied, by {100 * after['ece']:.1f}."
    )
    return {"text": text}


def _less(figures: dict, first: str, second: str) -> dict:
    """Paired difference in out-of-fold accuracy, first less second."""
    differences = figures["differences"]
    if second in differences[first]:
        return differences[first][second]["oof"]["accuracy"]
    turned = differences[second][first]["oof"]["accuracy"]
    return {"difference": -turned["difference"], "low": -turned["high"], "high": -turned["low"]}


def _points(found: dict) -> str:
    values = (100 * found[key] for key in ("difference", "low", "high"))
    return "{:+.2f} points [{:+.2f}, {:+.2f}]".format(*values)


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"
