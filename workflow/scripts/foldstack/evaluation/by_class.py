"""Scores of each class on its own, and which classes are confused, from an `Outcome`."""

import numpy as np

from foldstack.evaluation import counting
from foldstack.evaluation.outcome import Outcome


def per_class(found: Outcome) -> dict[str, list]:
    """A column each for `support`, `precision`, `recall`, `f1` and `average_precision`, in the order of the classes.

    None where undefined; no column without samples.
    """
    if len(found.labels) == 0:
        return {}
    counts = counting.by_class(found.labels, found.predicted, found.n_classes)
    support, predicted, hits = (part[:, 0] for part in (counts.support, counts.predicted, counts.hits))
    with np.errstate(invalid="ignore"):
        columns = {"precision": hits / predicted, "recall": hits / support, "f1": 2 * hits / (support + predicted)}
    columns["average_precision"] = found.by_class["map"]
    return {"support": support.astype(int).tolist()} | {
        name: [None if np.isnan(value) else float(value) for value in column] for name, column in columns.items()
    }


def confusion(found: Outcome) -> dict[str, list[int]]:
    """The cells that are not empty, by true class: columns `true` and `predicted`, class indices, and `count`."""
    cells, counts = np.unique(found.labels * found.n_classes + found.predicted, return_counts=True)
    true, predicted = np.divmod(cells, found.n_classes)
    return {"true": true.tolist(), "predicted": predicted.tolist(), "count": counts.tolist()}
