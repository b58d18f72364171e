"""The digest of prepared data: what dataset.json says of samples.parquet."""

import hashlib
import json

import pandas as pd

from foldstack.errors import FoldstackError


def data_digest(samples: pd.DataFrame, dataset: dict) -> str:
    """Of all that can change a result: everything but where the samples came from and what was left out.

    Args:
        samples: samples.parquet.
        dataset: dataset.json; its keys `task`, `classes`, `image_size`, `channels`, `fit` and `reading` count.
    """
    columns = ["sample_id", "split", "label", "group", "fold", "caption", "view_hashes"]
    content = samples[columns].astype(object).where(samples[columns].notna(), None)
    content["view_hashes"] = [list(views) for views in content["view_hashes"]]
    described = {key: dataset[key] for key in ("task", "classes", "image_size", "channels", "fit")}
    if dataset.get("reading"):
        described["reading"] = dataset["reading"]
    whole = {"dataset": described, "samples": content.to_numpy().tolist()}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def check_data(samples: pd.DataFrame, dataset: dict) -> None:
    """Refuse a table of samples that is not the one that dataset.json was written for."""
    if data_digest(samples, dataset) != dataset["digest"]:
        raise FoldstackError(
            "samples.parquet was changed after dataset.json was written (samples added, copied, moved between the "
            "splits or labelled anew); change the source of the data instead, delete the folder data and run again."
        )
