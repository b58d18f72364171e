"""How often a held-out image finds its caption among those of its fold, and a caption its image."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from foldstack.evaluation.bootstrap import Bootstrap, percentiles

DEPTHS = (1, 5, 10)
DIRECTIONS = {"image_to_text": "rank_text", "text_to_image": "rank_image"}
COLUMNS = ["model", "part", "direction", "samples", "gallery"]
COLUMNS += [f"r{depth}{end}" for depth in DEPTHS for end in ("", "_low", "_high")] + ["median_rank"]


def table(runs: Sequence[tuple[str, str, pd.DataFrame]], config: dict) -> pd.DataFrame:
    """evaluation/retrieval.csv: one row a model, part and direction, as in docs/reference/files.md.

    A sample's hit is the mean over the runs that ranked it; intervals resample the samples.

    Args:
        runs: (model, part, table with `sample_id`, `caption` and both ranks) of each run.
        config: the block `evaluation`.
    """
    rows = []
    for model, part in dict.fromkeys((model, part) for model, part, _ in runs):
        tables = [each for *of, each in runs if of == [model, part] and len(each)]
        if not tables:
            continue
        whole = pd.concat(tables, ignore_index=True)
        texts, images = np.mean([[each["caption"].nunique(), len(each)] for each in tables], axis=0)
        for direction, column in DIRECTIONS.items():
            hits = pd.DataFrame({depth: whole[column] <= depth for depth in DEPTHS}).groupby(whole["sample_id"]).mean()
            drawn = Bootstrap(np.zeros(len(hits)), config["bootstrap"], config["seed"]).means(hits.to_numpy(float).T)
            row = {"model": model, "part": part, "direction": direction, "samples": len(hits)}
            row["gallery"] = texts if column == "rank_text" else images
            for depth, resampled in zip(DEPTHS, drawn, strict=True):
                low, high = percentiles(resampled)
                row |= {f"r{depth}": hits[depth].mean(), f"r{depth}_low": low, f"r{depth}_high": high}
            rows.append(row | {"median_rank": whole[column].median()})
    return pd.DataFrame(rows, columns=COLUMNS)
