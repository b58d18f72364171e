"""Open an exported file: the only place that knows its contents. Needs no torch."""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime

from foldstack.errors import FoldstackError
from foldstack.files import sha256_of

OUTPUTS = ("probabilities", "fold_probabilities")  # of one model's file
ENSEMBLE_OUTPUTS = (
    "probabilities", "label", "class_name",
    "model_probabilities", "mean_probabilities", "fold_probabilities", "classes",
)  # fmt: skip
BATCH = 64


def open_session(path, threads: int = 1) -> tuple[onnxruntime.InferenceSession, dict]:
    """Open an exported file on the CPU; returns the session and its `foldstack` metadata.

    Raises FoldstackError where it is broken, or the file with its weights beside it is missing or another one.
    """
    try:
        session = session_of(str(path), threads)
    except Exception as error:  # onnxruntime has no public base class for the errors of a broken file
        raise FoldstackError(f"{path} cannot be opened ({_reason(path, error)}); export it again.") from error
    metadata = _parsed(session.get_modelmeta().custom_metadata_map, path)
    _check_data(path, metadata)
    return session, metadata


def _reason(path, error: Exception) -> str:
    """onnxruntime's words; of weights that lie beside the file it says too little."""
    beside = re.search(r"[^\s\"'/\\]+\.data\b", str(error))
    if not beside and "xternal initializer" not in str(error):
        return str(error)
    name = beside[0] if beside else f"{Path(path).name}.data"
    return f"its weights lie in {name}, which must be whole and beside it: {error}"


def _check_data(path, metadata: dict) -> None:
    """Is the file with the weights the one that was exported with this graph?"""
    if "data" in metadata:
        beside = Path(path).parent / metadata["data"]["file"]
        if sha256_of(beside) != metadata["data"]["sha256"]:
            raise FoldstackError(f"{beside} belongs to another export than {path}; put its own beside it.")


def read_metadata(path) -> dict:
    """The `foldstack` metadata of an exported file, which is not opened."""
    import onnx

    proto = onnx.load(path, load_external_data=False)
    return _parsed({item.key: item.value for item in proto.metadata_props}, path)


def session_of(content: str | bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU of a path or of a file's bytes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _parsed(properties: dict, path) -> dict:
    if "foldstack" not in properties:
        raise FoldstackError(f"{path} holds no Foldstack metadata; export it with Foldstack.")
    return json.loads(properties["foldstack"])


def input_shape(metadata: dict) -> tuple[int, ...]:
    """The shape of one sample at its stored size: (H, W, C), or (2, H, W, C) for pairs."""
    views = (2,) if metadata["task"] == "pairs" else ()
    return (*views, *metadata["image_size"], metadata["channels"])


def run_batches(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of uint8 pixels by one model's file, float64: the mean (N, C), and (N, n_splits, C) by fold."""
    outputs = [session.run(list(OUTPUTS), {"image": np.ascontiguousarray(batch)}) for batch in batches(pixels)]
    mean, folds = (np.concatenate(parts).astype(np.float64) for parts in zip(*outputs, strict=True))
    return mean, folds


def run_ensemble(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of the ensemble's file by name, less `classes`, for uint8 pixels of one size."""
    names = ENSEMBLE_OUTPUTS[:-1]
    outputs = [session.run(list(names), {"image": np.ascontiguousarray(batch)}) for batch in batches(pixels)]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*outputs, strict=True), strict=True)}


def batches(pixels: np.ndarray):
    """Consecutive parts of at most BATCH rows."""
    return (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
