"""Which samples belong together: the same group of the user's, or an image in common."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(groups: Sequence[str | None], view_hashes: Sequence[Sequence[str]]) -> np.ndarray:
    """Connected components of the samples under "same group" and "same image in any view".

    Args:
        groups: N texts or nulls; a null ties to nothing.
        view_hashes: N lists of content hashes, one hash an image.

    Returns:
        (N,) int64, numbered from 0 in the order of first appearance. Samples with different numbers share neither a
        group nor an image, not even through a chain of other samples.
    """
    owners, keys = [], []
    for i, (group, hashes) in enumerate(zip(groups, view_hashes, strict=True)):
        own = {("view", view) for view in hashes}
        if not pd.isna(group):
            own.add(("group", group))
        owners += [i] * len(own)
        keys += own
    numbers: dict[tuple[str, str], int] = {}
    nodes = [len(groups) + numbers.setdefault(key, len(numbers)) for key in keys]
    size = len(groups) + len(numbers)
    graph = coo_array((np.ones(len(nodes), np.int8), (owners, nodes)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][: len(groups)]
    return pd.factorize(labels)[0].astype(np.int64)
