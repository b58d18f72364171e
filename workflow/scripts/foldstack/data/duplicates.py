"""data/duplicates.parquet: pairs of samples with the same pixels, and pairs of nearly equal images."""

import numpy as np
import pandas as pd

from foldstack.data.near import near_pairs
from foldstack.data.pixels import Pixels


def find_near(frame: pd.DataFrame, pixels: Pixels, low, threshold: float, threads: int = 1) -> pd.DataFrame:
    """Pairs of distinct images that are nearly equal (`near.near_pairs`).

    Args:
        frame: the samples table; `row` and `view_hashes` count.
        pixels: uint8 (N, H, W, C), or (N, 2, H, W, C) for pairs.
        low: low frequencies (`near.low_frequencies`) of each view of each row, one after another; for a threshold of 0
            none.
        threshold: largest distance; 0 looks for none.
        threads: they do not change the result.

    Returns:
        `first`, `second` (content hashes of images), `distance`.
    """
    images = _owners(frame).drop_duplicates("hash", ignore_index=True)
    hashes = images["hash"].to_numpy(object)
    rows, sides = images["row"].to_numpy(), images["view"].to_numpy()

    def views(some) -> np.ndarray:
        return pixels[rows[some]] if pixels.ndim == 4 else pixels[rows[some], sides[some]]

    pairs, distances = np.empty((0, 2), np.int64), np.empty(0)
    if threshold:
        own = np.array(low)[rows * (len(low) // len(pixels)) + sides]
        pairs, distances = near_pairs(own, views, threshold, threads)
    return pd.DataFrame({"first": hashes[pairs[:, 0]], "second": hashes[pairs[:, 1]], "distance": distances})


def linked(frame: pd.DataFrame, near: pd.DataFrame) -> np.ndarray:
    """(P, 2) positions of samples that hold the images of each pair in `near`; other samples share those images."""
    owner = _owners(frame).drop_duplicates("hash").set_index("hash")["position"]
    return np.column_stack([owner.reindex(near[key]).to_numpy(np.int64) for key in ("first", "second")])


def table(frame: pd.DataFrame, near: pd.DataFrame) -> pd.DataFrame:
    """What duplicates.parquet holds.

    A set of k samples with the same pixels gives k - 1 rows, each sample with the next by `sample_id`. A pair of nearly
    equal images gives a row for each combination of splits that holds the two, with the first sample of each.
    """
    owners = _owners(frame).sort_values("sample_id").drop_duplicates(["hash", "split"])
    owners = owners[["hash", "sample_id", "split", "view"]]
    found = near.merge(owners.add_prefix("first_"), left_on="first", right_on="first_hash")
    found = found.merge(owners.add_prefix("second_"), left_on="second", right_on="second_hash")
    found = found[found["first_sample_id"] != found["second_sample_id"]]
    parts = [_exact(frame)]
    for one, other in (("first", "second"), ("second", "first")):  # the smaller id comes first
        part = found[found[f"{one}_sample_id"] < found[f"{other}_sample_id"]]
        columns = {"first": part[f"{one}_sample_id"], "second": part[f"{other}_sample_id"]}
        columns |= {f"first_{key}": part[f"{one}_{key}"] for key in ("split", "view")}
        columns |= {f"second_{key}": part[f"{other}_{key}"] for key in ("split", "view")}
        parts.append(pd.DataFrame(columns | {"distance": part["distance"]}))
    whole = pd.concat(parts, ignore_index=True).sort_values(["first", "second", "distance"], kind="stable")
    return whole.drop_duplicates(["first", "second"], ignore_index=True)


def counts(frame: pd.DataFrame, pairs: pd.DataFrame) -> dict:
    """For dataset.json: pairs of identical samples, of nearly equal images, and images that occur in both splits."""
    repeated = frame[frame.duplicated("hash", keep=False)]
    same = pd.crosstab(repeated["hash"], repeated["split"]).reindex(columns=["train", "test"], fill_value=0)
    near = pairs[~_identical(frame, pairs)]
    training = (near["first_split"] == "train").astype(int) + (near["second_split"] == "train").astype(int)
    return {
        "duplicates": {
            "train": int((same["train"] * (same["train"] - 1) // 2).sum()),
            "train_test": int((same["train"] * same["test"]).sum()),
        },
        "near_duplicates": {"train": int((training == 2).sum()), "train_test": int((training == 1).sum())},
        "images_in_both_splits": int((_owners(frame).groupby("hash")["split"].nunique() > 1).sum()),
    }


def contradict(frame: pd.DataFrame, found: pd.DataFrame, task: str) -> np.ndarray:
    """(P,) bool: which pairs of `table` show one image under two labels.

    In data of pairs, two samples that share only one image may have different labels; only those that share both count.
    """
    labels = frame.set_index("sample_id")["label"]
    differ = labels[found["first"]].to_numpy() != labels[found["second"]].to_numpy()
    return differ & ((task == "images") | _identical(frame, found))


def two_labels(frame: pd.DataFrame, found: pd.DataFrame, task: str) -> dict:
    """Images under more than one label: `identical` ones, `near` pairs of nearly equal ones, the first few `pairs`."""
    rows = found[contradict(frame, found, task)].sort_values(["distance", "first", "second"], kind="stable")
    return {
        "identical": int((frame.groupby("hash")["label"].nunique() > 1).sum()),
        "near": int((~_identical(frame, rows)).sum()),
        "pairs": rows[["first", "second"]].head(5).to_numpy().tolist(),
    }


def _identical(frame: pd.DataFrame, found: pd.DataFrame) -> np.ndarray:
    """(P,) bool: by their content; copies that are merely brighter have the distance 0, too."""
    hashes = frame.set_index("sample_id")["hash"]
    return hashes[found["first"]].to_numpy() == hashes[found["second"]].to_numpy()


def _owners(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an image of a sample: `hash`, `position` of the sample, `sample_id`, `split`, `row`, `view`."""
    lengths = frame["view_hashes"].map(len).to_numpy()
    position = np.repeat(np.arange(len(frame)), lengths)
    columns = frame[["sample_id", "split", "row"]].iloc[position].reset_index(drop=True)
    hashes = [view for views in frame["view_hashes"] for view in views]
    return columns.assign(position=position, hash=hashes, view=columns.groupby("sample_id").cumcount())


def _exact(frame: pd.DataFrame) -> pd.DataFrame:
    repeated = frame[frame.duplicated("hash", keep=False)].sort_values(["hash", "sample_id"])
    following = repeated[["hash", "sample_id", "split"]].shift(-1)
    rows = (following["hash"] == repeated["hash"]).to_numpy()
    columns = {"first": repeated["sample_id"], "second": following["sample_id"]}
    columns |= {"first_split": repeated["split"], "second_split": following["split"]}
    return pd.DataFrame(columns)[rows].assign(first_view=0, second_view=0, distance=0.0)
