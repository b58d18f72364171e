"""The digest of the folds, and the check that a file was made from the current data and folds.

Not in `proof`, so that a run, which uses this too, does not depend on how tables prove their origin.
"""

import pandas as pd

from foldstack.errors import FoldstackError
from foldstack.files import digest_of

AGAIN = "delete it and run again."


def folds_digest(folds: pd.DataFrame) -> str:
    """Of the columns `sample_id`, `fold` and `inner`."""
    rows = [folds["sample_id"].tolist(), folds["fold"].tolist(), folds["inner"].tolist()]
    return digest_of(rows)


def check_folds(summary: dict, dataset: dict) -> None:
    """Refuse folds (folds.json) of other data than dataset.json."""
    if summary["data_digest"] != dataset["digest"]:
        raise FoldstackError(
            "folds.json was made from other data than dataset.json; delete the folder folds and run again."
        )


def versions(dataset: dict, summary: dict) -> dict[str, str]:
    """`data_digest` and `folds_digest`, from dataset.json and folds.json: what every record of a result carries."""
    return {"data_digest": dataset["digest"], "folds_digest": summary["digest"]}


def check_versions(record: dict, where, today: dict) -> None:
    """Refuse a record (run.json, stack.json, a table's proof) of other data or folds than those of `today`.

    Args:
        where: the record's file, for the message.
        today: `data_digest` and `folds_digest`, as of `versions` or of a record that was checked before.
    """
    for key, name in (("data_digest", "data"), ("folds_digest", "folds")):
        if record.get(key) != today[key]:
            raise FoldstackError(f"{where} was made from other {name} than the current ones; {AGAIN}")
