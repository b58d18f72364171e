"""The experiment of fake_runs, stacked and evaluated by the rules' scripts; and a metric that nobody needs."""

import numpy as np
from fake_runs import EVALUATION, MEMBERS, STACK, experiment, run_script

import collect_oof
import evaluate
import fit_stacker
from foldstack.evaluation.metric import Metric

KEYS = [(model, seed) for model, seeds in MEMBERS.items() for seed in seeds]


def run_all(root, **options):
    """Run the three scripts; returns the experiment, with `evaluation/` and all before it below its root."""
    made = experiment(root, **options)
    shared = {
        "samples": root / "data/samples.parquet",
        "dataset": root / "data/dataset.json",
        "duplicates": root / "data/duplicates.parquet",
        "folds": root / "folds/folds.parquet",
        "folds_summary": root / "folds/folds.json",
    }
    for model, seed in KEYS:
        runs = [folder / "run.json" for folder in made.runs if folder.parts[-3:-1] == (model, f"seed{seed}")]
        outputs = {part: root / part / model / f"seed{seed}.arrow" for part in ("oof", "test")}
        wildcards = {"model": model, "seed": str(seed)}
        run_script(collect_oof.main, root, "collect_oof", {"runs": runs[::-1], **shared}, outputs, wildcards)
    members = {part: [str(root / part / m / f"seed{s}.arrow") for m, s in KEYS] for part in ("oof", "test")}
    stack = {key: root / "stack" / name for key, name in STACK_FILES.items()}
    config = {"stack": STACK, "members": MEMBERS}
    run_script(fit_stacker.main, root, "fit_stacker", members | shared, stack, config=config)
    inputs = members | shared | {"stack_oof": stack["oof"], "stack_test": stack["test"], "stack": stack["stack"]}
    inputs["runs"] = [folder / "run.json" for folder in made.runs]
    outputs = {key: root / "evaluation" / name for key, name in EVALUATION_FILES.items()}
    config = {"evaluation": EVALUATION, "members": MEMBERS}
    run_script(evaluate.main, root, "evaluate", inputs, outputs, config=config)
    return made


STACK_FILES = {"stacker": "stacker.txt", "oof": "oof.arrow", "test": "test.arrow", "stack": "stack.json"}
EVALUATION_FILES = {"leaderboard": "leaderboard.csv", "metrics": "metrics.json", "summary": "summary.txt"}


def chance_of_truth(labels, probabilities):
    """(N,) the probability of the true class."""
    return probabilities[np.arange(len(labels)), labels]


MADE_UP = Metric("made_up", "Made-up metric", of_samples=chance_of_truth)
