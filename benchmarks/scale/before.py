"""What the code before this issue does where its whole stage would take hours.

python before.py CODE RESULTS fit ROUNDS ITERATIONS    one fit of its stacks, of so many rounds and iterations
python before.py CODE RESULTS stack                    made stack tables, so that its evaluation can be measured
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

STACK = {"quorum": 1.0, "floor": 0.001, "learning_rate": 0.05, "num_leaves": 4, "min_child_samples": 20}
STACK |= {"method": "lightgbm", "colsample": 0.5, "subsample": 0.8, "l2": 1.0, "seed": 0}


class Library:
    """Modules of the older checkout."""

    def __init__(self, results: Path):
        self.results = results
        self.tables = importlib.import_module("foldstack.tables")
        self.stacking = importlib.import_module("foldstack.ensemble.stacking")
        self.members = importlib.import_module("foldstack.ensemble.members")
        self.proof = importlib.import_module("foldstack.folds.proof")

    def read(self) -> tuple[Any, dict, dict]:
        """Members, dataset.json and folds.json."""
        dataset, summary = (
            json.loads((self.results / name).read_text(encoding="utf-8"))
            for name in ("data/dataset.json", "folds/folds.json")
        )
        oof, test = (sorted(map(str, self.results.glob(f"{part}/*/seed*.parquet"))) for part in ("oof", "test"))
        seeds = {Path(path).parent.name: [0] for path in oof}
        samples = self.tables.read_samples(self.results / "data/samples.parquet")
        return self.members.read_members(oof, test, seeds, samples, dataset["classes"]), dataset, summary


def fit(library: Library, rounds: int, iterations: int) -> None:
    """One of the n_splits + 1 fits, on all out-of-fold rows."""
    members, dataset, _ = library.read()
    library.stacking.LOGISTIC_ITERATIONS = iterations
    averaged = members.seed_averaged_oof()
    fixed = members.models, dataset["classes"], STACK | {"n_estimators": rounds}
    library.stacking.fit_stack(averaged, members.labels, *fixed)


def stack(library: Library) -> None:
    """Every method's prediction is the mean; the files are those of the rule."""
    members, dataset, summary = library.read()
    models, classes = members.models, dataset["classes"]
    spec = {"method": "lightgbm", "classes": classes, "models": models, "floor": 0.001, "best_single": models[0]}
    spec |= {"weights": dict.fromkeys(models, 1 / len(models)), "importance": dict.fromkeys(models, 1 / len(models))}
    spec |= {"n_splits": summary["n_splits"], "left_out": [], "lightgbm": {}, "logistic": {}, "meta_features": []}
    spec |= {"data_digest": dataset["digest"], "folds_digest": summary["digest"]}
    folder = library.results / "stack"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stack.json").write_text(json.dumps(spec), encoding="utf-8")
    paths = sorted(map(str, library.results.glob("oof/*/seed*.parquet")))
    keys = ("method", "sample_id")
    oof, test = members.seed_averaged_oof().mean(axis=0), members.seed_averaged_test().mean(axis=(0, 1))
    crossed = {str(fold): members.sample_ids[members.folds != fold] for fold in range(summary["n_splits"])}
    for name, values, ids, folds, fitted_on in (
        ("oof", oof, members.sample_ids, members.folds, crossed),
        ("test", test, members.test_ids, None, {"all": members.sample_ids}),
    ):
        by_method = dict.fromkeys(library.stacking.METHODS, values)
        frame = library.members.methods_table(by_method, ids, classes, folds)
        made_from = library.proof.of_stack(paths, fitted_on, dataset, summary)
        library.tables.write_predictions(frame, folder / f"{name}.parquet", classes, keys, made_from)


def main() -> None:
    code, results, what, *numbers = sys.argv[1:]
    sys.path.insert(0, code)
    library = Library(Path(results))
    if what == "fit":
        fit(library, *map(int, numbers))
    else:
        stack(library)


if __name__ == "__main__":
    main()
