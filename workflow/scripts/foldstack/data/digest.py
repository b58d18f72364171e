"""The digest of prepared data, by which dataset.json identifies samples.parquet."""

import pandas as pd

from foldstack.errors import FoldstackError
from foldstack.files import digest_of

PIXEL_FORMAT = ("task", "image_size", "channels", "fit")  # keys of dataset.json that say how an image becomes pixels


def data_digest(samples: pd.DataFrame, dataset: dict) -> str:
    """Digest of all that can change a result: everything but where the samples came from and what was left out.

    Args:
        samples: samples.parquet.
        dataset: dataset.json; its `classes` and PIXEL_FORMAT count, and `reading`, which says how unusual files were
            read.
    """
    columns = ["sample_id", "split", "label", "group", "fold", "caption", "view_hashes"]
    content = samples[columns].astype(object).where(samples[columns].notna(), None)
    content["view_hashes"] = [list(views) for views in content["view_hashes"]]
    described = {key: dataset[key] for key in ("classes", *PIXEL_FORMAT)}
    if dataset.get("reading"):
        described["reading"] = dataset["reading"]
    whole = {"dataset": described, "samples": content.to_numpy().tolist()}
    return digest_of(whole)


def check_data(samples: pd.DataFrame, dataset: dict) -> None:
    """Refuse a table of samples that is not the one that dataset.json was written for."""
    if data_digest(samples, dataset) != dataset["digest"]:
        raise FoldstackError(
            "samples.parquet was changed after dataset.json was written (samples added, copied, moved between the "
            "splits or relabelled); change the source of the data instead, delete the folder data and run again."
        )
