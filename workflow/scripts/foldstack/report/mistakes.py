"""Where the ensemble errs: its most confident mistakes, groups of samples, and what the models get wrong together."""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from foldstack.data.pixels import Pixels
from foldstack.ensemble.members import Members
from foldstack.evaluation.metrics import outcome
from foldstack.evaluation.outcome import Outcome
from foldstack.evaluation.prediction import Prediction
from foldstack.jobs.progress import steps
from foldstack.report.pictures import thumbnail

SHOWN = 24
GROUPS = 200  # in the table; the weakest


def most_confident(deployed: Outcome, samples: pd.DataFrame, pixels: Pixels, classes: list[str]) -> list[dict]:
    """At most 24 mistakes, those with the highest probability first; equals by sample id.

    Args:
        deployed: on the N training samples, out of fold.
        samples: their N rows of samples.parquet, in the same order.
        pixels: uint8, indexed by the column `row`.

    Returns a list of `sample_id`, `source`, `true`, `predicted`, `confidence` and `picture`, a data URI.
    """
    labels, predicted, confidence = deployed.labels, deployed.predicted, deployed.confidence
    wrong = np.flatnonzero(predicted != labels)
    ids = samples["sample_id"].to_numpy(str)
    order = wrong[np.lexsort((ids[wrong], -confidence[wrong]))][:SHOWN]
    return [
        {
            "sample_id": ids[i],
            "source": samples["source"].iloc[i],
            "true": classes[labels[i]],
            "predicted": classes[predicted[i]],
            "confidence": float(confidence[i]),
            "picture": thumbnail(np.asarray(pixels[samples["row"].iloc[i]])),
        }
        for i in order
    ]


def by_group(labels: np.ndarray, predicted: np.ndarray, groups: pd.Series) -> list[dict]:
    """`group`, `samples`, `accuracy`, `low`, `high` (Wilson's 95 % interval), weakest first; empty without two groups.

    Samples without a group form none.
    """
    table = pd.DataFrame({"group": groups.to_numpy(), "right": labels == predicted}).dropna()
    counts = table.groupby("group", sort=True)["right"].agg(["sum", "size"])
    if len(counts) < 2:
        return []
    counts = counts.assign(share=counts["sum"] / counts["size"]).sort_values(["share", "size"], kind="stable")
    rows = []
    for group, right, size, share in counts.head(GROUPS).itertuples():
        reach = binomtest(int(right), int(size)).proportion_ci(method="wilson")
        entry = {"group": str(group), "samples": int(size), "accuracy": float(share)}
        rows.append(entry | {"low": float(reach.low), "high": float(reach.high)})
    return rows


def shared_errors(members: Members) -> dict:
    """Which mistakes the models, averaged over their seeds, share out of fold.

    Returns `models`, `errors` (a count each), `correlation` (a matrix: Pearson's coefficient of "is wrong", None where
    a model is never or always wrong), `both` (a matrix of counts), `nobody` and `somebody` (samples that no model,
    and that any model, gets right).
    """
    each = [
        outcome(members.labels, Prediction([members.oof[model, seed] for seed in seeds]), [])
        for model, seeds in steps(members.seeds.items(), "comparing mistakes")
    ]
    wrong = np.stack([found.predicted != members.labels for found in each])
    values = wrong.astype(np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    sizes = np.sqrt((centred**2).sum(axis=1))
    known = np.outer(sizes, sizes) > 0
    matrix = np.divide(centred @ centred.T, np.outer(sizes, sizes), out=np.zeros(known.shape), where=known)
    return {
        "models": members.models,
        "errors": wrong.sum(axis=1).tolist(),
        "correlation": [
            [float(value) if there else None for value, there in zip(*rows, strict=True)]
            for rows in zip(matrix, known, strict=True)
        ],
        "both": (values @ values.T).astype(int).tolist(),
        "nobody": int(wrong.all(axis=0).sum()),
        "somebody": int((~wrong).any(axis=0).sum()),
    }
