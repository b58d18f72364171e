"""Which samples the run of one fold trains on, selects by and predicts.

Apart from `assign`, so that an edit there does not retrain every model.
"""

import pandas as pd

from foldstack.errors import FoldstackError


def split_ids(folds: pd.DataFrame, fold: int, selection: str) -> tuple[list[str], list[str], list[str]]:
    """The samples that the run of one fold trains on, selects by, and predicts.

    Args:
        folds: columns `sample_id`, `fold`, `inner` (every bucket from 0 up occurs, as `assign` makes sure).
        fold: 0-based; one more than there are holds nothing out.
        selection: `inner` sets aside bucket `fold % inner_splits` of the other folds; `final` sets nothing aside.

    Returns:
        (train ids, selection ids, fold ids), each sorted; together they are all ids, each once.

    Raises:
        FoldstackError: nothing to train on, to select by (under `inner`) or to predict.
    """
    if selection not in ("inner", "final"):
        raise ValueError(f"selection is {selection!r}, expected 'inner' or 'final'")
    predicted = (folds["fold"] == fold).to_numpy()
    bucket = fold % (int(folds["inner"].max()) + 1)
    aside = ~predicted & (folds["inner"] == bucket).to_numpy() & (selection == "inner")
    train, held, out = (sorted(folds.loc[rows, "sample_id"]) for rows in (~predicted & ~aside, aside, predicted))
    everything = fold == int(folds["fold"].max()) + 1
    if not train or (not out and not everything) or (selection == "inner" and not held):
        raise FoldstackError(
            f"Fold {fold} has {len(train)} samples to train on, {len(held)} in its inner split and {len(out)} to "
            "predict; lower folds.n_splits or folds.inner_splits, or set selection: final."
        )
    return train, held, out
