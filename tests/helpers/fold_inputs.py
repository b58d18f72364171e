"""A samples table of one's own, and its folds."""

import numpy as np
import pandas as pd

from foldstack.folds.assign import assign


def samples(labels, groups=None, views=None, fold=None, split="train") -> pd.DataFrame:
    n = len(labels)
    views = views or [[f"h{i}"] for i in range(n)]
    return pd.DataFrame(
        {
            "sample_id": [f"s{i:04d}" for i in range(n)],
            "split": split,
            "label": np.asarray(labels, np.int64),
            "group": pd.Series(groups if groups is not None else [None] * n, dtype=object),
            "fold": pd.array(fold if fold is not None else [None] * n, dtype="Int64"),
            "caption": None,
            "source": "x",
            "hash": [view[0] for view in views],
            "view_hashes": views,
            "row": np.arange(n),
        }
    )


def assigned(frame, **config):
    config = {"strategy": "stratified", "n_splits": 5, "inner_splits": 10, "seed": 0} | config
    classes = [f"class{i}" for i in range(int(frame["label"].max()) + 1)]
    return assign(frame, classes, **config)[0]
