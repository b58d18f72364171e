"""Open an exported model: the one place that says what its file holds. Needs onnxruntime only."""

import json

import numpy as np
import onnxruntime

from foldstack.errors import FoldstackError

OUTPUTS = ("probabilities", "fold_probabilities")
BATCH = 64


def open_session(path, threads: int = 1) -> tuple[onnxruntime.InferenceSession, dict]:
    """Open an exported model on the CPU; returns the session and its `foldstack` metadata."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no public base class for what a broken file raises
        raise FoldstackError(f"{path} cannot be opened ({error}); export it again.") from error
    properties = session.get_modelmeta().custom_metadata_map
    if "foldstack" not in properties:
        raise FoldstackError(f"{path} holds no Foldstack metadata; export the model with Foldstack.")
    return session, json.loads(properties["foldstack"])


def input_shape(metadata: dict) -> tuple[int, ...]:
    """The shape of one sample at its stored size: (H, W, C), or (2, H, W, C) for pairs."""
    views = (2,) if metadata["task"] == "pairs" else ()
    return (*views, *metadata["image_size"], metadata["channels"])


def run_batches(session: onnxruntime.InferenceSession, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of uint8 pixels, float64: the mean (N, C), and (N, n_splits, C) by fold."""
    outputs = [session.run(list(OUTPUTS), {"image": np.ascontiguousarray(batch)}) for batch in batches(pixels)]
    mean, folds = (np.concatenate(parts).astype(np.float64) for parts in zip(*outputs, strict=True))
    return mean, folds


def batches(pixels: np.ndarray):
    """Consecutive parts of at most BATCH rows."""
    return (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
