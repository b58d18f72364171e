"""Which samples belong together: the same group, an image in common, or images that are nearly equal."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def of(samples: pd.DataFrame, duplicates: pd.DataFrame | None) -> np.ndarray:
    """(N,) int64: the component of each row of samples.parquet (or of a part of it), numbered as by `components`.

    Args:
        duplicates: duplicates.parquet; None where no search for nearly equal images was made.
    """
    linked = () if duplicates is None else links(samples["sample_id"].tolist(), duplicates)
    return components(samples["group"].tolist(), samples["view_hashes"].tolist(), linked)


def components(groups: Sequence[str | None], view_hashes: Sequence[Sequence[str]], linked=()) -> np.ndarray:
    """Connected components of the samples under "same group", "same image in any view" and "linked".

    Args:
        groups: N texts or nulls; a null belongs to no group.
        view_hashes: N lists of content hashes, one hash an image.
        linked: pairs of positions, as `links` gives them.

    Returns:
        (N,) int64, numbered from 0 in the order of first appearance. Samples with different numbers share neither a
        group nor an image, not even through a chain of other samples.
    """
    owners: list[int] = []
    keys: list[tuple[str, str]] = []
    for i, (group, hashes) in enumerate(zip(groups, view_hashes, strict=True)):
        own = {("view", view) for view in hashes}
        if group is not None and not pd.isna(group):
            own.add(("group", group))
        owners += [i] * len(own)
        keys += own
    numbers: dict[tuple[str, str], int] = {}
    nodes = [len(groups) + numbers.setdefault(key, len(numbers)) for key in keys]
    size = len(groups) + len(numbers)
    owners, nodes = owners + [int(i) for i, _ in linked], nodes + [int(j) for _, j in linked]
    graph = coo_array((np.ones(len(nodes), np.int8), (owners, nodes)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][: len(groups)]
    return pd.factorize(labels)[0].astype(np.int64)


def links(sample_ids: Sequence[str] | np.ndarray, duplicates: pd.DataFrame) -> np.ndarray:
    """(P, 2) positions in `sample_ids` of the pairs in duplicates.parquet that have both samples there."""
    position = pd.Index(sample_ids)
    both = np.column_stack([position.get_indexer(duplicates[key]) for key in ("first", "second")])
    return both[(both >= 0).all(axis=1)]


def sets(count: int) -> str:
    """`1 set`, `2 sets`."""
    return f"{count} set{'s' if count > 1 else ''}"


def what_ties(together: pd.DataFrame) -> str:
    """Says what most samples of one component have in common: a group or an image.

    Args:
        together: their rows, columns `sample_id`, `group`, `view_hashes`.
    """
    groups = together["group"].value_counts()
    views = together["view_hashes"].map(set).explode()
    images = views.value_counts()
    if len(groups) and groups.iloc[0] > 1 and (images.empty or groups.iloc[0] >= images.iloc[0]):
        return f"group {groups.index[0]!r} holds {groups.iloc[0]:,} of them"
    if len(images) and images.iloc[0] > 1:
        owner = views.index[views == images.index[0]][0]
        sides = list(together.loc[owner, "view_hashes"])
        which = ("left ", "right ")[sides.index(images.index[0])] if len(sides) == 2 else ""
        return f"the {which}image of {together.loc[owner, 'sample_id']!r} occurs in {images.iloc[0]:,} of them"
    one, other = together["sample_id"].iloc[:2]
    return f"nearly equal images chain them, such as those of {one!r} and {other!r}"


def way_out(frame: pd.DataFrame) -> str:
    """What a user can do where too many samples must stay together; `frame` has the column `view_hashes`."""
    if frame["view_hashes"].map(len).max() > 1:
        return (
            "Pairs that share an image must stay in one split: split the images first and pair within each part, as "
            'docs/how-to/data.md shows under "Pairs of shared images".'
        )
    return "Correct the groups, lower data.near_duplicates or folds.n_splits, or add samples that are independent."
