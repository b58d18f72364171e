"""Tables passed between stages: each has a fixed schema, checked when written and when read.

docs/reference/files.md says what each column means. Prediction tables are Arrow files, which can be mapped into memory;
the others are Parquet. Neither holds a timestamp, so equal frames give equal bytes.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from foldstack.errors import FoldstackError
from foldstack.files import atomic
from foldstack.probabilities import blocks, softmax

SAMPLES = {
    "sample_id": pa.string(),
    "split": pa.string(),
    "label": pa.int64(),
    "group": pa.string(),
    "fold": pa.int64(),
    "caption": pa.string(),
    "source": pa.string(),
    "hash": pa.string(),
    "view_hashes": pa.list_(pa.string()),
    "row": pa.int64(),
}
FOLDS = {"sample_id": pa.string(), "fold": pa.int64(), "inner": pa.int64()}
DUPLICATES = {
    "first": pa.string(),
    "second": pa.string(),
    "first_split": pa.string(),
    "second_split": pa.string(),
    "first_view": pa.int64(),
    "second_view": pa.int64(),
    "distance": pa.float64(),
}
PREDICTIONS = {  # whichever of them a prediction table has, before its logits
    "method": pa.string(),
    "sample_id": pa.string(),
    "fold": pa.int64(),
    "rank_text": pa.int32(),
    "rank_image": pa.int32(),
}
LOGITS = "logits"
CLASSES, PROOF = b"classes", b"foldstack"  # keys in the metadata of a prediction table
MAY_BE_NULL = {"group", "caption"}


def write_samples(samples: pd.DataFrame, path) -> None:
    """Write data/samples.parquet; raises FoldstackError where the contract is broken."""
    _write(samples, path, SAMPLES, keys=("sample_id",), nullable=MAY_BE_NULL | {"fold"})


def read_samples(path) -> pd.DataFrame:
    return _read(path, SAMPLES, keys=("sample_id",), nullable=MAY_BE_NULL | {"fold"})


def write_folds(folds: pd.DataFrame, path) -> None:
    """Write folds/folds.parquet; raises FoldstackError where the contract is broken."""
    _write(folds, path, FOLDS, keys=("sample_id",))


def read_folds(path) -> pd.DataFrame:
    return _read(path, FOLDS, keys=("sample_id",))


def write_duplicates(pairs: pd.DataFrame, path) -> None:
    """Write data/duplicates.parquet; raises FoldstackError where the contract is broken."""
    _write(pairs, path, DUPLICATES, keys=("first", "second"))


def read_duplicates(path) -> pd.DataFrame:
    return _read(path, DUPLICATES, keys=("first", "second"))


def predictions(sample_ids, logits, **extra) -> pd.DataFrame:
    """A prediction table.

    Args:
        sample_ids: N texts.
        logits: (N, C), classes in the order of dataset.json; stored as float32, in one column of arrays.
        extra: further columns by name, such as `fold` or `method`; they come before the predictions.
    """
    values = np.ascontiguousarray(logits, np.float32)
    if values.ndim != 2 or len(values) != len(sample_ids):
        raise ValueError(f"logits have the shape {values.shape}, expected ({len(sample_ids)}, C)")
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    columns = {
        "sample_id": np.asarray(sample_ids, dtype=object),
        **extra,
        LOGITS: pd.arrays.ArrowExtensionArray(column),
    }
    return pd.DataFrame(columns)


def logits(frame: pd.DataFrame) -> np.ndarray:
    """(N, C) float32 of a prediction table; a view of the file where the rows are as they were read."""
    column = frame[LOGITS].array.__arrow_array__()
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return array.flatten().to_numpy().reshape(len(frame), array.type.list_size)


def probabilities(frame: pd.DataFrame) -> np.ndarray:
    """(N, C) float64 of a prediction table: the softmax of its logits."""
    return softmax(logits(frame))


def write_predictions(
    frame: pd.DataFrame, path, classes: Sequence[str], keys=("sample_id",), proof: dict | None = None
) -> None:
    """Write a prediction table whose `keys` identify a row; raises FoldstackError where the contract is broken.

    `proof` says what the table was made from (`folds.proof`); it goes into the file's metadata.
    """
    _check_logits(frame, path, len(classes))
    _check_keys(frame, path, keys)
    kinds = {name: kind for name, kind in PREDICTIONS.items() if name in frame.columns}
    schema = pa.schema([*kinds.items(), (LOGITS, pa.list_(pa.float32(), len(classes)))])
    if set(schema.names) != set(frame.columns):
        raise FoldstackError(f"{path}: the columns are {list(frame.columns)}, but the contract has {schema.names}.")
    metadata = {CLASSES: json.dumps(list(classes)), PROOF: json.dumps(proof, sort_keys=True)}
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    table = table.replace_schema_metadata(metadata)
    with atomic(path) as temporary, pa.ipc.new_file(temporary, table.schema) as writer:
        writer.write_table(table)


def read_proof(path) -> dict:
    """What a prediction table says that it was made from; raises FoldstackError where it says nothing."""
    proof = json.loads(_mapped(path).schema.metadata.get(PROOF, b"null"))
    if proof is None:
        raise FoldstackError(f"{path} does not say what it was made from; delete it and run again.")
    return proof


def read_predictions(path, classes: Sequence[str], keys=("sample_id",)) -> pd.DataFrame:
    """Read a prediction table and check keys, classes and logits; raises FoldstackError.

    The logits stay in the file, which is mapped into memory, until they are asked for.
    """
    table = _mapped(path)
    found = json.loads(table.schema.metadata[CLASSES])
    if found != list(classes):
        raise FoldstackError(
            f"{path} holds the classes {found}, but the data set has {list(classes)}; delete it and run again."
        )
    column = pd.arrays.ArrowExtensionArray(table.column(LOGITS))
    frame = table.drop_columns([LOGITS]).to_pandas().assign(**{LOGITS: column})
    _check_keys(frame, path, keys)
    _check_logits(frame, path, len(classes))
    return frame


def ids_digest(ids: Iterable[str]) -> str:
    """Digest of a set of sample ids: independent of their order, dependent on repeats."""
    lines = "\n".join(sorted(text.encode("unicode_escape").decode() for text in ids))
    return hashlib.sha256(lines.encode()).hexdigest()


def _mapped(path) -> pa.Table:
    """A prediction table without a copy of it in memory."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if CLASSES in (table.schema.metadata or {}):
            return table
        reason = "it is no table of predictions"
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error)
    raise FoldstackError(f"{path} cannot be read ({reason}); delete it and run the same command again.")


def _check_logits(frame: pd.DataFrame, path, n_classes: int) -> None:
    values = logits(frame)
    if values.shape[1] != n_classes:
        raise FoldstackError(f"{path}: there are {values.shape[1]} logits a sample, but {n_classes} classes.")
    for rows in blocks(len(values), n_classes):
        wrong = ~np.isfinite(values[rows]).all(axis=1)
        if wrong.any():
            row = frame["sample_id"].iloc[rows.start + int(wrong.argmax())]
            raise FoldstackError(f"{path}: the logits of sample {row!r} are not finite numbers.")


def _write(frame: pd.DataFrame, path, schema: dict, keys, nullable=frozenset()) -> None:
    missing, unknown = set(schema) - set(frame.columns), set(frame.columns) - set(schema)
    if missing or unknown:
        raise FoldstackError(f"{path}: columns missing: {sorted(missing)}, not in the contract: {sorted(unknown)}.")
    _check_keys(frame, path, keys)
    _check_nulls(frame, path, set(schema) - set(nullable))
    arrow_schema = pa.schema(list(schema.items()))
    table = pa.Table.from_pandas(frame[list(schema)], schema=arrow_schema, preserve_index=False)
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")


def soft_labels(path, method: str, sample_ids: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """(N, C) float32 of one method from a table with the columns `method` and `sample_id`, in the order of the ids."""
    frame = read_predictions(path, classes, keys=("method", "sample_id"))
    rows = frame[frame["method"] == method].set_index("sample_id")
    missing = sorted(set(sample_ids) - set(rows.index))
    if missing:
        raise FoldstackError(f"{path} has no prediction by {method} for {missing[0]!r}; delete it and run again.")
    return probabilities(rows.loc[list(sample_ids)]).astype(np.float32)


def _read(path, schema: dict | None, keys, nullable=frozenset()) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise FoldstackError(f"{path} cannot be read ({error}); delete it and run the same command again.") from error
    if schema is not None and table.schema.names != list(schema):
        raise FoldstackError(
            f"{path} has the columns {table.schema.names}, expected {list(schema)}; delete it and run again."
        )
    frame = table.to_pandas()
    if schema is not None and "fold" in nullable:
        frame["fold"] = frame["fold"].astype("Int64")
    _check_keys(frame, path, keys)
    if schema is not None:
        _check_nulls(frame, path, set(schema) - set(nullable))
    return frame


def _check_keys(frame: pd.DataFrame, path, keys) -> None:
    repeated = frame.duplicated(list(keys))
    if repeated.any():
        row = frame.loc[repeated, list(keys)].iloc[0].to_dict()
        raise FoldstackError(f"{path}: {row} occurs in more than one row; each must be unique.")


def _check_nulls(frame: pd.DataFrame, path, columns) -> None:
    for name in sorted(columns):
        if frame[name].isna().any():
            row = frame.loc[frame[name].isna()].iloc[0, 0]
            raise FoldstackError(f"{path}: column {name!r} is empty for sample {row!r}.")
