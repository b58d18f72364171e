"""Label new data with export/ensemble.onnx, for the rule predict_new; users run `predict.py` in the root."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from foldstack.data.digest import PIXEL_FORMAT
from foldstack.export.session import open_session, run_ensemble


class Ensemble:
    """The exported file, opened.

    Attributes:
        classes: names, in the order of the probabilities.
        pixel_format: `task`, `image_size`, `channels`, `fit` and `reading` of the stored pixels: how new data must be
            read.
    """

    def __init__(self, path, threads: int = 1):
        self.session, metadata = open_session(path, threads)
        self.classes = metadata["classes"]
        self.pixel_format = {key: metadata[key] for key in PIXEL_FORMAT} | {"reading": metadata.get("reading", {})}

    def predict(self, sample_ids: Sequence[str], pixels: np.ndarray) -> pd.DataFrame:
        """Label N >= 1 samples of stored pixels: `sample_id`, `label` (the class's name), `probability`,
        `prob_<class>`..., sorted by id."""
        outputs = run_ensemble(self.session, pixels)
        values = outputs["probabilities"]
        columns = {
            "sample_id": list(sample_ids),
            "label": outputs["class_name"],
            "probability": values.max(axis=1),
        }
        columns |= {f"prob_{name}": values[:, index] for index, name in enumerate(self.classes)}
        return pd.DataFrame(columns).sort_values("sample_id", ignore_index=True)
