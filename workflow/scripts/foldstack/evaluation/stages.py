"""A study stage by stage: the stack of all models so far, scored on its own rows, out of fold and on the test split."""

import numpy as np
import pandas as pd

from foldstack.ensemble import stacking
from foldstack.ensemble.members import Members
from foldstack.evaluation import bootstrap
from foldstack.probabilities import blocks

COLUMNS = ["stage", "added", "models", "best_single"] + [
    f"{what}_{figure}"
    for what in ("single", "stack")
    for figure in ("oof", "oof_low", "oof_high", "test", "test_low", "test_high")
]
COLUMNS += ["stack_own_rows", "gain", "gain_low", "gain_high"]


def stage_table(stages: list[dict], members: Members, config: dict) -> pd.DataFrame:
    """evaluation/stages.csv: one row a stage, each with the models of all stages so far; accuracies.

    Three figures of the same stack, by the config's method: `stack_own_rows` on the out-of-fold rows that it was fitted
    on, as a script would report that fits and scores on the same rows; `stack_oof` cross-fitted; `stack_test` on the
    test split. `gain` is that of `stack_oof` over the stage before, paired.

    Args:
        stages: `name` and `models`; models that are not among the members (left out) take no part, nor does a stage
            that adds none.
        config: the blocks `stack` and `evaluation`.
    """
    resampling = config["evaluation"]["bootstrap"], config["evaluation"]["seed"]
    drawn = {
        part: bootstrap.Bootstrap(labels, *resampling)
        for part, labels in (("oof", members.labels), ("test", members.test_labels))
    }
    rows, before, chosen = [], None, set()
    for stage in stages:
        added = [model for model in stage["models"] if model in members.models]
        chosen |= set(added)
        if not added:
            continue
        models = [model for model in members.models if model in chosen]
        row = {"stage": stage["name"], "added": " ".join(added), "models": len(models)}
        spec, tables = _tables(models, members, config["stack"])
        row["best_single"] = spec["best_single"]
        for (what, part), table in tables.items():
            if part == "own_rows":
                row["stack_own_rows"] = np.mean(table.argmax(axis=1) == members.labels)
            else:
                row |= _accuracy(f"{what}_{part}", table, drawn[part])
        now = tables["stack", "oof"].argmax(axis=1)
        if before is not None:
            gain = bootstrap.accuracy_difference(members.labels, now, before, *resampling)
            row |= {"gain": gain["difference"], "gain_low": gain["low"], "gain_high": gain["high"]}
        before = now
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _tables(models: list[str], members: Members, config: dict) -> tuple[dict, dict]:
    """The stack of `models` fitted on all rows, and {(`single` or `stack`, part): (N, C) logits or probabilities}."""
    at = [members.models.index(model) for model in models]
    oof, test = members.seed_averaged_oof().of(at), members.seed_averaged_test().of(at)
    spec, booster = stacking.fit_stack(oof, members.labels, members.folds, models, members.classes, config)
    crossed = stacking.cross_fit(oof, members.labels, members.folds, models, members.classes, config)
    wanted = {"single": "best_single", "stack": config["method"]}
    on_test = stacking.predict_test(spec, test, booster, list(wanted.values()))
    tables = {(what, "oof"): crossed[method] for what, method in wanted.items()}
    tables |= {(what, "test"): on_test[method] for what, method in wanted.items()}
    own = [
        stacking.predict_stack(config["method"], spec, oof[:, rows], booster)
        for rows in blocks(oof.shape[1], oof.shape[0] * oof.shape[2])
    ]
    tables["stack", "own_rows"] = np.concatenate(own)
    return spec, tables


def _accuracy(name: str, table: np.ndarray, drawn: bootstrap.Bootstrap) -> dict[str, float]:
    if len(drawn.labels) == 0:
        return {}
    right = (table.argmax(axis=1) == drawn.labels).astype(np.float64)
    low, high = bootstrap.percentiles(drawn.means(right[None])[0])
    return {name: right.mean(), f"{name}_low": low, f"{name}_high": high}
