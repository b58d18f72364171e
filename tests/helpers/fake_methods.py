"""Made-up predictions of every way to combine models, right more often than not."""

import numpy as np

from foldstack import tables
from foldstack.ensemble import members
from foldstack.ensemble.stacking import METHODS
from foldstack.probabilities import log_probabilities


def by_method(labels, n_classes, seed, methods=METHODS) -> dict[str, np.ndarray]:
    """{method: (N, C)}."""
    rng = np.random.default_rng(seed)
    found = {}
    for method in methods:
        raw = rng.random((len(labels), n_classes)) + 0.6 * (np.arange(n_classes) == np.asarray(labels)[:, None])
        found[method] = raw / raw.sum(axis=1, keepdims=True)
    return found


def write_methods(path, ids, labels, classes, seed) -> dict[str, np.ndarray]:
    """The same as a table like stack/test.arrow; returns it as {method: (N, C)}."""
    found = by_method(labels, len(classes), seed)
    frame = members.methods_table({name: log_probabilities(values) for name, values in found.items()}, ids)
    tables.write_predictions(frame, path, classes, keys=("method", "sample_id"))
    return found
