"""Score an exported file on a labelled data set (`make verify FILE=ensemble.onnx DATA=folder`).

DATA is a folder of class folders, a CSV file with `path` and `label`, or an NPZ file with `x` and `y` (`xa` and `xb`
for pairs). Where it marks a test split, that is what is scored.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from foldstack.data.decode import Geometry  # noqa: E402
from foldstack.data.prepare import read_source  # noqa: E402
from foldstack.data.store import decoded  # noqa: E402
from foldstack.errors import FoldstackError  # noqa: E402
from foldstack.evaluation import metrics  # noqa: E402
from foldstack.export.session import open_session, run_ensemble  # noqa: E402

CHUNK = 256  # samples in memory
SEED = 0


def read_labelled(data: Path, metadata: dict):
    """The rows to score, with their pixels' sources: (labels as class indices, items)."""
    pairs = metadata["task"] == "pairs"
    form = {".csv": "csv", ".npz": "npz_pairs" if pairs else "npz"}.get(data.suffix, "imagefolder")
    as_it_is = {"test_path": None, "columns": {}, "images": None, "suffix": None, "labels": {}}
    source = read_source(as_it_is | {"format": form, "path": str(data)})
    if source.task != metadata["task"]:
        raise FoldstackError(f"{data} holds {source.task}, but the model is for {metadata['task']}; give other data.")
    chosen = np.flatnonzero((source.rows["split"] == "test") if source.test_given else np.ones(len(source.rows), bool))
    names = source.rows["label"].iloc[chosen].tolist()
    unknown = sorted(set(names) - set(metadata["classes"]))
    if unknown:
        raise FoldstackError(
            f"{data}: the label {unknown[0]!r} is none of the model's classes {metadata['classes']}; correct it."
        )
    return np.array([metadata["classes"].index(name) for name in names]), [source.items[row] for row in chosen]


def predict(session, metadata: dict, items: list) -> tuple[np.ndarray, np.ndarray]:
    """(positions of the items that can be read, their probabilities (N, C) float64)."""
    reading = metadata.get("reading", {})
    geometry = Geometry(*metadata["image_size"], metadata["channels"], metadata["fit"], **reading)
    kept, parts = [], []
    for start in range(0, len(items), CHUNK):
        views = list(decoded(items[start : start + CHUNK], geometry))
        good = [i for i, view in enumerate(views) if not isinstance(view, str)]
        kept += [start + i for i in good]
        if good:
            pixels = np.stack([views[i] if metadata["task"] == "pairs" else views[i][0] for i in good])
            parts.append(run_ensemble(session, pixels)["probabilities"].astype(np.float64))
    if not kept:
        raise FoldstackError("None of the images can be read.")
    probabilities = np.concatenate(parts)
    return np.array(kept), probabilities / probabilities.sum(axis=1, keepdims=True)


def score(labels: np.ndarray, probabilities: np.ndarray, resamples: int) -> dict:
    """{metric: {value, low, high}} with 95 % percentile bootstrap intervals over the samples."""
    random = np.random.default_rng(SEED)
    values = metrics.scores(labels, probabilities)
    drawn = []
    for _ in range(resamples):
        rows = random.integers(0, len(labels), len(labels))
        drawn.append(metrics.scores(labels[rows], probabilities[rows]))
    tail = (100 - metrics.COVERAGE) / 2
    limits = {name: np.percentile([each[name] for each in drawn], [tail, 100 - tail]) for name in values}
    return {
        name: {"value": value, "low": float(limits[name][0]), "high": float(limits[name][1])}
        for name, value in values.items()
    }


def main(arguments) -> int:
    session, metadata = open_session(arguments.file)
    if "golden" not in metadata:
        raise FoldstackError(f"{arguments.file} is the file of one model; give export/ensemble.onnx.")
    labels, items = read_labelled(Path(arguments.data), metadata)
    kept, probabilities = predict(session, metadata, items)
    report = {
        "samples": len(kept),
        "unreadable": len(items) - len(kept),
        "scores": score(labels[kept], probabilities, arguments.resamples),
    }
    if arguments.json:
        print(json.dumps(report, indent=2, sort_keys=True))
        return 0
    print(f"{report['samples']} samples scored, {report['unreadable']} unreadable; 95 % intervals by bootstrap")
    for name, entry in report["scores"].items():
        print(f"  {name:<10} {entry['value']:.4f}   {entry['low']:.4f} to {entry['high']:.4f}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("data")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    try:
        sys.exit(main(parser.parse_args()))
    except FoldstackError as error:
        sys.exit(str(error))
