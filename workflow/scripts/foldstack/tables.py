"""Tables passed between stages: each has a fixed schema, checked when written and when read.

docs/reference/files.md says what each column means. Parquet files hold no timestamps, so equal frames give equal bytes.
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
PROOF = b"foldstack"  # key in a Parquet file's metadata
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


def predictions(sample_ids, probabilities, logits=None, *, classes: Sequence[str], **extra) -> pd.DataFrame:
    """A prediction table.

    Args:
        sample_ids: N texts.
        probabilities: (N, C) array, rows sum to 1; stored as float32.
        logits: (N, C) array or None.
        classes: C names, in the order of dataset.json.
        extra: further columns by name, such as `fold` or `method`; they come before the predictions.
    """
    columns = {"sample_id": np.asarray(sample_ids, dtype=object), **extra}
    frame = pd.DataFrame(columns)
    blocks = [frame, _block("prob", probabilities, classes)]
    if logits is not None:
        blocks.append(_block("logit", logits, classes))
    return pd.concat(blocks, axis=1)


def write_predictions(
    frame: pd.DataFrame, path, classes: Sequence[str], keys=("sample_id",), proof: dict | None = None
) -> None:
    """Write a prediction table whose `keys` identify a row; raises FoldstackError where the contract is broken.

    `proof` says what the table was made from (`folds.proof`); it goes into the file's metadata.
    """
    _check_probabilities(frame, path, classes)
    _write(frame, path, _prediction_schema(frame, keys, classes), keys, proof=proof)


def read_proof(path) -> dict:
    """What a prediction table says that it was made from; raises FoldstackError where it says nothing."""
    try:
        return json.loads(pq.read_schema(path).metadata[PROOF])
    except (OSError, pa.ArrowInvalid, TypeError, KeyError, ValueError) as error:
        raise FoldstackError(f"{path} does not say what it was made from; delete it and run again.") from error


def read_predictions(path, classes: Sequence[str], keys=("sample_id",)) -> pd.DataFrame:
    """Read a prediction table and check keys, classes and probabilities; raises FoldstackError."""
    frame = _read(path, None, keys)
    found = [name.removeprefix("prob_") for name in frame.columns if name.startswith("prob_")]
    if found != list(classes):
        raise FoldstackError(
            f"{path} holds the classes {found}, but the data set has {list(classes)}; delete it and run again."
        )
    _check_probabilities(frame, path, classes)
    return frame


def probabilities(frame: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """(N, C) float32, columns in the order of `classes`."""
    return frame[[f"prob_{name}" for name in classes]].to_numpy(np.float32)


def logits(frame: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """(N, C) float32, columns in the order of `classes`."""
    return frame[[f"logit_{name}" for name in classes]].to_numpy(np.float32)


def ids_digest(ids: Iterable[str]) -> str:
    """Digest of a set of sample ids: independent of their order, dependent on repeats."""
    lines = "\n".join(sorted(text.encode("unicode_escape").decode() for text in ids))
    return hashlib.sha256(lines.encode()).hexdigest()


def _block(prefix: str, values, classes: Sequence[str]) -> pd.DataFrame:
    values = np.asarray(values, dtype=np.float32)
    if values.ndim != 2 or values.shape[1] != len(classes):
        raise ValueError(f"{prefix} has shape {values.shape}, expected (N, {len(classes)})")
    return pd.DataFrame(values, columns=[f"{prefix}_{name}" for name in classes])


def _check_probabilities(frame: pd.DataFrame, path, classes: Sequence[str]) -> None:
    values = probabilities(frame, classes)
    wrong = ~np.isfinite(values).all(axis=1) | (np.abs(values.sum(axis=1) - 1) > 1e-4) | (values < 0).any(axis=1)
    if wrong.any():
        row = frame["sample_id"].iloc[int(np.flatnonzero(wrong)[0])]
        raise FoldstackError(f"{path}: the probabilities of sample {row!r} are not finite numbers that sum to 1.")


def _prediction_schema(frame: pd.DataFrame, keys, classes: Sequence[str]) -> dict:
    schema = {"method": pa.string(), "sample_id": pa.string(), "fold": pa.int64()}
    schema |= {"rank_text": pa.int32(), "rank_image": pa.int32()}
    schema = {name: kind for name, kind in schema.items() if name in frame.columns}
    for prefix in ("prob", "logit"):
        if f"{prefix}_{classes[0]}" in frame.columns:
            schema |= {f"{prefix}_{name}": pa.float32() for name in classes}
    return schema


def _write(frame: pd.DataFrame, path, schema: dict, keys, nullable=frozenset(), proof: dict | None = None) -> None:
    missing, unknown = set(schema) - set(frame.columns), set(frame.columns) - set(schema)
    if missing or unknown:
        raise FoldstackError(f"{path}: columns missing: {sorted(missing)}, not in the contract: {sorted(unknown)}.")
    _check_keys(frame, path, keys)
    _check_nulls(frame, path, set(schema) - set(nullable))
    arrow_schema = pa.schema(list(schema.items()))
    table = pa.Table.from_pandas(frame[list(schema)], schema=arrow_schema, preserve_index=False)
    metadata = None if proof is None else {PROOF: json.dumps(proof, sort_keys=True).encode()}
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def soft_labels(path, method: str, sample_ids: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """(N, C) float32 of one method from a table with the columns `method` and `sample_id`, in the order of the ids."""
    frame = read_predictions(path, classes, keys=("method", "sample_id"))
    rows = frame[frame["method"] == method].set_index("sample_id")
    missing = sorted(set(sample_ids) - set(rows.index))
    if missing:
        raise FoldstackError(f"{path} has no prediction by {method} for {missing[0]!r}; delete it and run again.")
    return probabilities(rows.loc[list(sample_ids)], classes).copy()


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
