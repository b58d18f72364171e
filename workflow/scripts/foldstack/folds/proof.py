"""The chain of proof: what each table was made from, and the refusal of what was made from something else.

A run writes digests of the ids that it trained on, selected on and predicted (run.json). The tables of the stages oof
and stack carry them on, as JSON in their Parquet metadata, with the digests of the data and the folds. Each later stage
compares them itself with what the current data and folds allow: no stage relies on the check of an earlier one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack import tables
from foldstack.data import ties
from foldstack.data.digest import check_data
from foldstack.errors import FoldstackError
from foldstack.files import read_json, sha256_of
from foldstack.folds.digest import AGAIN, check_folds, check_versions, folds_digest, versions
from foldstack.folds.split import split_ids

RUN_IDS = ("train_ids", "selection_ids", "predicted_ids")


def check_prepared(samples: pd.DataFrame, dataset: dict, near: pd.DataFrame, folds: pd.DataFrame, summary: dict):
    """Refuse data and folds that are not what dataset.json and folds.json describe, or that leak by themselves.

    Args:
        samples, near, folds: samples.parquet, duplicates.parquet and folds.parquet.
        dataset, summary: dataset.json and folds.json.

    Raises:
        FoldstackError: a table was changed after it was written, the folds are of other data or of other samples, or
            samples that share a group or an image, or nearly one, are in two folds or inner buckets.
    """
    check_data(samples, dataset)
    check_folds(summary, dataset)
    if summary["digest"] != folds_digest(folds):
        raise FoldstackError(
            "folds.parquet was changed after folds.json was written; delete the folder folds and run again."
        )
    training = samples[samples["split"] == "train"].merge(folds, on="sample_id", suffixes=("_given", ""))
    if not len(training) == len(folds) == (samples["split"] == "train").sum():
        raise FoldstackError(
            "folds.parquet does not hold each training sample of samples.parquet once; delete the folder folds and run "
            "again."
        )
    tied = ties.of(training, near)
    first = np.unique(tied, return_index=True)[1][tied]
    for column, name in (("fold", "fold"), ("inner", "inner bucket")):
        values = training[column].to_numpy()
        apart = np.flatnonzero(values != values[first])
        if apart.size:
            i, j = int(first[apart[0]]), int(apart[0])
            one, other = training["sample_id"][i], training["sample_id"][j]
            raise FoldstackError(
                f"Samples {one!r} and {other!r} belong together (a group, an image, or nearly an image in common), but "
                f"folds.parquet puts them into {name} {values[i]} and {values[j]}; delete the folder folds and run "
                "again."
            )


def check_ids(record: dict, where, folds: pd.DataFrame, fold: int) -> list[str]:
    """The ids that a run predicts, if it trained on, selected on and predicted what its fold allows, and nothing else.

    Args:
        record: run.json, or what a table carries of it: the digests RUN_IDS.
        where: the record's file, for the message.
        folds: folds.parquet.

    Raises:
        FoldstackError: one of the digests is of other ids.
    """
    selection = "final" if record["selection_ids"] is None else "inner"
    parts = split_ids(folds, fold, selection)
    for key, allowed in zip(RUN_IDS, parts, strict=True):
        if record[key] != (tables.ids_digest(allowed) if allowed else None):
            raise FoldstackError(
                f"{where}: {key} is not the digest of what fold {fold} allows: the run may have seen samples that it "
                f"predicts; {AGAIN}"
            )
    return parts[-1]


def of_runs(records: Sequence[dict]) -> dict:
    """What the tables of one (model, seed) carry, from the run.json of its folds."""
    first = records[0]
    shared = {key: first[key] for key in ("model", "seed", "data_digest", "folds_digest")}
    runs = {str(record["fold"]): {key: record[key] for key in RUN_IDS} for record in records}
    return shared | {"runs": runs}


def check_member(path, dataset: dict, folds: pd.DataFrame, summary: dict) -> dict:
    """The proof of a table of the stages oof or test, if it is of the current data and folds.

    Raises:
        FoldstackError: the table has no proof, is of other data or folds, or one of its runs was trained on, or
            selected on, samples that its fold does not allow.
    """
    found = tables.read_proof(path)
    check_versions(found, path, versions(dataset, summary))
    if set(found["runs"]) != {str(fold) for fold in range(summary["n_splits"])}:
        raise FoldstackError(
            f"{path} is of the folds {sorted(found['runs'])}, not 0 to {summary['n_splits'] - 1}; {AGAIN}"
        )
    for fold, ids in found["runs"].items():
        check_ids(ids, path, folds, int(fold))
    return found


def of_stack(oof_paths: Sequence, fitted_on: dict[str, np.ndarray], dataset: dict, summary: dict) -> dict:
    """What the stack's tables carry.

    Args:
        oof_paths: the tables that it learned from, `.../<model>/seed<seed>.arrow`.
        fitted_on: {fold: ids of the rows that its predictions were fitted on}; `all` for the deployed stack.
    """
    made_from = {"members": _file_digests(oof_paths)}
    made_from |= {"fitted_on": {fold: tables.ids_digest(ids) for fold, ids in fitted_on.items()}}
    return versions(dataset, summary) | made_from


def check_stack(path, oof_paths: Sequence, dataset: dict, folds: pd.DataFrame, summary: dict) -> dict:
    """The proof of stack/oof.arrow, if each fold was predicted by what was fitted on the rows of the other folds.

    Raises:
        FoldstackError: it is of other data, folds or out-of-fold tables, or was fitted on rows that it predicts.
    """
    found = tables.read_proof(path)
    check_versions(found, path, versions(dataset, summary))
    if found["members"] != _file_digests(oof_paths):
        raise FoldstackError(f"{path} was made from other tables than those in the folder oof; {AGAIN}")
    for fold, digest in found["fitted_on"].items():
        allowed = folds.loc[folds["fold"] != int(fold), "sample_id"]
        if digest != tables.ids_digest(allowed):
            raise FoldstackError(
                f"{path}: what predicts fold {fold} was not fitted on the rows of the other folds alone: the stack may "
                f"be scored on its own rows; {AGAIN}"
            )
    if set(found["fitted_on"]) != {str(fold) for fold in range(summary["n_splits"])}:
        raise FoldstackError(f"{path} does not say what each fold's predictions were fitted on; {AGAIN}")
    return found


def _file_digests(paths: Sequence) -> dict[str, str]:
    """{`<model>/seed<seed>`: SHA-256 of the file}; equal tables have equal bytes."""
    named = {f"{Path(path).parent.name}/{Path(path).stem}": Path(path) for path in paths}
    return {name: sha256_of(path) for name, path in sorted(named.items())}


def check_all(files, oof_paths: Sequence, test_paths: Sequence, samples: pd.DataFrame, dataset: dict) -> dict:
    """Check everything that a score is based on: data, folds, members and stack; returns what metrics.json records.

    Args:
        files: the inputs of the rule evaluate, by name.
        oof_paths, test_paths: the tables of the members that take part.
    """
    folds, summary = tables.read_folds(files.folds), read_json(files.folds_summary)
    check_prepared(samples, dataset, tables.read_duplicates(files.duplicates), folds, summary)
    for path in [*oof_paths, *test_paths]:
        check_member(path, dataset, folds, summary)
    check_versions(read_json(files.stack), files.stack, versions(dataset, summary))
    deployed = tables.read_proof(files.stack_test)
    check_versions(deployed, files.stack_test, versions(dataset, summary))
    found = check_stack(files.stack_oof, oof_paths, dataset, folds, summary)
    if deployed["members"] != found["members"]:
        raise FoldstackError(f"{files.stack_test} was made from other tables than {files.stack_oof}; {AGAIN}")
    return found
