"""Label new data from the export folder alone: the ONNX files, stacker.txt and ensemble.json.

Neither torch nor the training configuration is needed. A fold's networks are stacked by themselves and the folds are
averaged after that, as in the estimate (`foldstack.stacking`).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd

from foldstack.errors import FoldstackError
from foldstack.jobs import atomic, read_json
from foldstack.onnx_session import open_session, run_batches
from foldstack.stacking import predict_folds

FROM_STACK = (
    "method", "classes", "models", "meta_features", "floor", "n_splits", "best_single", "weights", "logistic",
    "data_digest", "folds_digest",
)  # fmt: skip
PIXEL_FORMAT = ("task", "image_size", "channels", "fit")


def describe_ensemble(stack: dict, dataset: dict, stacker: str) -> dict:
    """ensemble.json, from stack.json, dataset.json and the text of stacker.txt; `method` says how models are combined.

    Raises FoldstackError where the stack is of another data set.
    """
    if stack["data_digest"] != dataset["digest"] or stack["classes"] != dataset["classes"]:
        raise FoldstackError(
            "stack.json was made from other data than dataset.json; delete the folder stack and run again."
        )
    left_out = {"left_out": stack.get("left_out", [])}
    ensemble = {key: stack[key] for key in FROM_STACK} | left_out | {key: dataset[key] for key in PIXEL_FORMAT}
    return ensemble | {"stacker_digest": _digest(stacker)}


class Ensemble:
    """The exported files, opened and checked to belong together.

    Args:
        ensemble_path, stacker_path: ensemble.json and stacker.txt.
        onnx_paths: one file a model, in any order: the name of the model is in the file.

    Raises FoldstackError where a model is missing, or a file is of other classes, data or folds than ensemble.json.
    """

    def __init__(self, ensemble_path, stacker_path, onnx_paths: Sequence, threads: int = 1):
        self.spec = read_json(ensemble_path)
        text = Path(stacker_path).read_text(encoding="utf-8")
        if _digest(text) != self.spec["stacker_digest"]:
            raise FoldstackError(
                f"{stacker_path} is not the stacker that {ensemble_path} was written for; export both again."
            )
        self.booster = lightgbm.Booster(model_str=text)
        opened = {}
        for path in onnx_paths:
            session, metadata = open_session(path, threads)
            self._check(path, metadata)
            opened[metadata["model"]] = session
        if len(opened) != len(onnx_paths) or set(opened) != set(self.spec["models"]):
            raise FoldstackError(
                f"The ensemble combines one file each of the models {self.spec['models']}, but {len(onnx_paths)} files "
                f"hold {sorted(opened)}; give it the files of one export folder."
            )
        self.sessions = [opened[model] for model in self.spec["models"]]

    def _check(self, path, metadata: dict) -> None:
        for key in ("classes", "n_splits", "data_digest", "folds_digest", *PIXEL_FORMAT):
            if metadata[key] != self.spec[key]:
                raise FoldstackError(
                    f"{path} and ensemble.json are of different exports: {key} is {metadata[key]!r} in one and "
                    f"{self.spec[key]!r} in the other; export all again."
                )

    @property
    def pixel_format(self) -> dict:
        """`task`, `image_size`, `channels` and `fit` of the stored pixels: how new data must be read."""
        return {key: self.spec[key] for key in PIXEL_FORMAT}

    def members(self, pixels: np.ndarray) -> np.ndarray:
        """(M, n_splits, N, C) float64 that sum to 1, from uint8 pixels (N, H, W, C) or (N, 2, H, W, C)."""
        members = np.stack([run_batches(session, pixels)[1] for session in self.sessions]).transpose(0, 2, 1, 3)
        return members / members.sum(axis=-1, keepdims=True)

    def predict(self, sample_ids: Sequence[str], pixels: np.ndarray) -> pd.DataFrame:
        """Label N >= 1 samples: `sample_id`, `label` (the class's name), `probability`, `prob_<class>`..., sorted."""
        values = predict_folds(self.spec["method"], self.spec, self.members(pixels), self.booster)
        classes = self.spec["classes"]
        columns = {
            "sample_id": list(sample_ids),
            "label": [classes[index] for index in values.argmax(axis=1)],
            "probability": values.max(axis=1),
        }
        columns |= {f"prob_{name}": values[:, index] for index, name in enumerate(classes)}
        return pd.DataFrame(columns).sort_values("sample_id", ignore_index=True)


def write_tables(predictions: pd.DataFrame, quarantined: pd.DataFrame, predictions_path, quarantine_path) -> None:
    """Write predictions.csv and quarantine.csv."""
    for frame, path in ((predictions, predictions_path), (quarantined, quarantine_path)):
        with atomic(path) as temporary:
            frame.to_csv(temporary, index=False, float_format="%.7g", lineterminator="\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
