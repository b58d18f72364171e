"""Out-of-fold predictions of one (model, seed), collected from its runs.

A run is used only after its run.json agrees with the current data and folds: a fold mixed up here would
make every later score wrong, and no later stage could notice.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.files import read_json
from foldstack.folds.digest import check_folds, check_versions, versions
from foldstack.folds.proof import check_ids


def collect(
    runs: Sequence[Path],
    folds: pd.DataFrame,
    samples: pd.DataFrame,
    dataset: dict,
    summary: dict,
    model: str | None = None,
    seed: int | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join the runs of one (model, seed) to one table each for the training and the test samples.

    Args:
        runs: folders that hold run.json, oof.arrow and test.arrow; one a fold, in any order.
        folds: folds.parquet.
        samples: samples.parquet.
        dataset, summary: dataset.json and folds.json.
        model, seed: what the runs must be of; None takes those of the first run.

    Returns:
        (oof, test): `sample_id`, `fold`, `logits`. `oof` has each training sample once, sorted by
        `sample_id`; `test` has each test sample once a fold, sorted by (`fold`, `sample_id`).

    Raises:
        FoldstackError: a fold is missing or occurs twice, a run did not complete, was made from other data or folds,
            saw samples that it was not allowed to see, or predicted other samples than its own.
    """
    check_folds(summary, dataset)
    records, classes = _records(runs, dataset, summary, model, seed), dataset["classes"]
    test_ids = samples.loc[samples["split"] == "test", "sample_id"]
    oof, test = [], []
    for fold, (folder, record) in sorted(records.items()):
        held_out = check_ids(record, folder / "run.json", folds, fold)
        oof.append(_table(folder / "oof.arrow", classes, held_out, fold))
        test.append(_table(folder / "test.arrow", classes, test_ids, fold))
    joined = pd.concat(oof, ignore_index=True).sort_values("sample_id", ignore_index=True)
    expected = np.sort(samples.loc[samples["split"] == "train", "sample_id"].to_numpy(str))
    if not np.array_equal(joined["sample_id"].to_numpy(str), expected):
        raise FoldstackError(
            f"The folds hold {len(joined)} samples, but samples.parquet has {len(expected)} training samples, "
            "or others; delete the folders data and folds of this experiment and run again."
        )
    return joined, pd.concat(test, ignore_index=True).sort_values(["fold", "sample_id"], ignore_index=True)


def _records(runs, dataset: dict, summary: dict, model, seed) -> dict[int, tuple[Path, dict]]:
    """{fold: (folder, run.json)}: complete, of one model and seed, made from the current data and folds."""
    records: dict[int, tuple[Path, dict]] = {}
    for folder in map(Path, runs):
        record = read_json(folder / "run.json")
        model = record["model"] if model is None else model
        seed = record["seed"] if seed is None else seed
        if (record["model"], record["seed"]) != (model, seed):
            raise FoldstackError(
                f"{folder / 'run.json'} is a run of {record['model']} with seed {record['seed']}, "
                f"expected {model} with seed {seed}; delete that folder and run again."
            )
        if record["status"] != "completed":
            raise FoldstackError(
                f"{folder / 'run.json'} has the status {record['status']!r}, expected 'completed'; "
                "look into its log, change the model's training and run again."
            )
        check_versions(record, folder / "run.json", versions(dataset, summary))
        if record["fold"] in records:
            raise FoldstackError(f"{folder} and {records[record['fold']][0]} are both runs of fold {record['fold']}.")
        records[record["fold"]] = folder, record
    if set(records) != set(range(summary["n_splits"])):
        raise FoldstackError(
            f"{model} with seed {seed} has runs of the folds {sorted(records)}, "
            f"expected 0 to {summary['n_splits'] - 1}."
        )
    return records


def _table(path: Path, classes: Sequence[str], expected_ids: Iterable[str], fold: int) -> pd.DataFrame:
    """The predictions in `path` with their fold, if they are of exactly the expected samples."""
    frame = tables.read_predictions(path, classes)
    difference = set(frame["sample_id"]) ^ set(expected_ids)
    if difference:
        raise FoldstackError(
            f"{path} of fold {fold} has {len(difference)} missing or unexpected samples such as {min(difference)!r}; "
            "delete that folder and run again."
        )
    return tables.predictions(
        frame["sample_id"],
        tables.logits(frame),
        fold=np.full(len(frame), fold, np.int64),
    )
