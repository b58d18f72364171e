"""foldstack.folds.digest: what counts as other folds, and what is refused as made from other data or folds."""

import pandas as pd
import pytest

from foldstack.errors import FoldstackError
from foldstack.folds import digest

FOLDS = pd.DataFrame({"sample_id": ["a", "b", "c"], "fold": [0, 1, 0], "inner": [0, 1, 2]})
DATASET, SUMMARY = {"digest": "d"}, {"digest": "f", "data_digest": "d"}


@pytest.mark.parametrize(
    ("column", "value"), [("sample_id", ["a", "b", "x"]), ("fold", [1, 1, 0]), ("inner", [0, 1, 1])]
)
def test_each_column_changes_the_digest(column, value):
    assert digest.folds_digest(FOLDS.copy()) == digest.folds_digest(FOLDS)
    assert digest.folds_digest(FOLDS.assign(**{column: value})) != digest.folds_digest(FOLDS)


def test_folds_of_other_data_are_refused():
    digest.check_folds(SUMMARY, DATASET)
    with pytest.raises(FoldstackError, match=r"folds\.json was made from other data than dataset\.json"):
        digest.check_folds(SUMMARY, {"digest": "e"})


@pytest.mark.parametrize(("key", "name"), [("data_digest", "data"), ("folds_digest", "folds")])
def test_a_record_of_other_data_or_folds_or_of_none_is_refused(key, name):
    today = digest.versions(DATASET, SUMMARY)
    record = {"model": "cnn"} | today
    digest.check_versions(record, "run.json", today)
    without = {other: value for other, value in record.items() if other != key}
    for wrong in (record | {key: "else"}, without):
        with pytest.raises(
            FoldstackError, match=rf"run\.json was made from other {name} than the current ones; delete it"
        ):
            digest.check_versions(wrong, "run.json", today)
