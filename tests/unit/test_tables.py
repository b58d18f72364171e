"""foldstack.tables: contracts are enforced both ways, and equal tables are equal bytes."""

import numpy as np
import pandas as pd
import pytest

from foldstack import tables
from foldstack.errors import FoldstackError

CLASSES = ["a", "b $x$", "ü"]


def frame(n=4, **extra):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), n)
    ids = [f"s{i}" for i in range(n)]
    return tables.predictions(ids, np.log(probabilities), **extra)


def test_predictions_come_back_as_written(tmp_path):
    written = frame(fold=np.array([0, 0, 1, 1]))
    tables.write_predictions(written, tmp_path / "p.arrow", CLASSES)
    read = tables.read_predictions(tmp_path / "p.arrow", CLASSES)
    assert list(read.columns[:2]) == ["sample_id", "fold"]
    np.testing.assert_array_equal(tables.probabilities(read), tables.probabilities(written))
    np.testing.assert_array_equal(tables.logits(read), tables.logits(written))


def test_equal_tables_are_equal_bytes(tmp_path):
    for name in ("x", "y"):
        tables.write_predictions(frame(), tmp_path / name, CLASSES)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_the_logits_are_mapped_not_copied_and_follow_their_rows(tmp_path):
    tables.write_predictions(frame(), tmp_path / "p.arrow", CLASSES)
    read = tables.read_predictions(tmp_path / "p.arrow", CLASSES)
    values = tables.logits(read)
    assert (values.dtype, values.flags.owndata, values.flags.writeable) == (np.float32, False, False)
    for rows in ([3, 1], [0], []):
        np.testing.assert_array_equal(tables.logits(read.iloc[rows]), values[rows])
    np.testing.assert_array_equal(tables.logits(pd.concat([read, read.iloc[1:3]])), values[[0, 1, 2, 3, 1, 2]])
    assert (tmp_path / "p.arrow").stat().st_size < 4 * 3 * 4 + 2000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_refused(tmp_path, bad):
    logits = np.zeros((4, 3))
    logits[2, 0] = bad
    broken = tables.predictions([f"s{i}" for i in range(4)], logits)
    with pytest.raises(FoldstackError, match="sample 's2'"):
        tables.write_predictions(broken, tmp_path / "p.arrow", CLASSES)
    assert not (tmp_path / "p.arrow").exists()


def test_a_repeated_sample_is_refused(tmp_path):
    broken = pd.concat([frame(), frame().head(1)])
    with pytest.raises(FoldstackError, match="more than one row"):
        tables.write_predictions(broken, tmp_path / "p.arrow", CLASSES)


def test_another_class_list_is_refused(tmp_path):
    tables.write_predictions(frame(), tmp_path / "p.arrow", CLASSES)
    with pytest.raises(FoldstackError, match="holds the classes"):
        tables.read_predictions(tmp_path / "p.arrow", CLASSES[::-1])


def test_a_table_with_a_column_too_few_or_many_is_refused(tmp_path):
    folds = pd.DataFrame({"sample_id": ["a", "b"], "fold": [0, 1], "inner": [0, 0]})
    tables.write_folds(folds, tmp_path / "f.parquet")
    pd.testing.assert_frame_equal(tables.read_folds(tmp_path / "f.parquet"), folds, check_dtype=False)
    for broken in (folds.drop(columns="inner"), folds.assign(more=1)):
        with pytest.raises(FoldstackError, match="contract"):
            tables.write_folds(broken, tmp_path / "g.parquet")


@pytest.mark.parametrize("content", [b"", b"ARROW1 rubbish", b"cut"])
def test_a_file_that_is_no_prediction_table_is_named(tmp_path, content):
    path = tmp_path / "p.arrow"
    tables.write_predictions(frame(), path, CLASSES)
    path.write_bytes(path.read_bytes()[:700] if content == b"cut" else content)
    for read in (tables.read_proof, lambda path: tables.read_predictions(path, CLASSES)):
        with pytest.raises(FoldstackError, match=r"p\.arrow cannot be read .*; delete it"):
            read(path)


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"PAR1 rubbish")
    with pytest.raises(FoldstackError, match=r"f\.parquet cannot be read"):
        tables.read_folds(tmp_path / "f.parquet")


def test_ids_digest_is_of_the_set():
    assert tables.ids_digest(["b", "a"]) == tables.ids_digest(["a", "b"])
    assert tables.ids_digest(["a", "b"]) != tables.ids_digest(["a\nb"])
    assert tables.ids_digest(["a"]) != tables.ids_digest(["a", "a"])
