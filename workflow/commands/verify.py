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
from foldstack.evaluation.bootstrap import Bootstrap  # noqa: E402
from foldstack.export.session import open_session, run_ensemble  # noqa: E402

CHUNK = 256  # samples in memory
SEED = 0  # of the resamples


def read_labelled(data: Path, metadata: dict):
    """The rows to score, with their pixels' sources: (labels as class indices, items)."""
    pairs = metadata["task"] == "pairs"
    form = {".csv": "csv", ".npz": "npz_pairs" if pairs else "npz"}.get(data.suffix, "imagefolder")
    as_it_is: dict[str, object] = {"test_path": None, "columns": {}, "images": None, "suffix": None, "labels": {}}
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
    height, width = metadata["image_size"]
    geometry = Geometry(height, width, metadata["channels"], metadata["fit"], **reading)
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
    """{metric: {`value`, `low`, `high`}} with 95 % intervals over the samples; None where undefined."""
    found = Bootstrap(labels, resamples, SEED).scored({"it": metrics.outcome(labels, probabilities)})["it"]
    reach = found.intervals()
    return {
        name: dict(zip(("value", "low", "high"), [value, *reach.get(name, [None, None])], strict=True))
        if np.isfinite(value)
        else dict.fromkeys(("value", "low", "high"))
        for name, value in found.scores.items()
    }


def printed(report: dict) -> list[str]:
    """Lines for the terminal; metrics that do not exist for these classes are left out."""
    lines = [f"{report['samples']} samples scored, {report['unreadable']} unreadable; 95 % intervals over samples"]
    known = {name: entry for name, entry in report["scores"].items() if entry["value"] is not None}
    titles = {name: metrics.METRICS[name].title for name in known}
    wide = max(map(len, titles.values()))
    for name, entry in known.items():
        reach = "" if entry["low"] is None else f"{entry['low']:.4f} to {entry['high']:.4f}"
        lines.append(f"  {titles[name]:<{wide}}{entry['value']:>9.4f}   {reach}".rstrip())
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("data")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    session, metadata = open_session(options.file)
    if "golden" not in metadata:
        raise FoldstackError(f"{options.file} is the file of one model; give export/ensemble.onnx.")
    labels, items = read_labelled(Path(options.data), metadata)
    kept, probabilities = predict(session, metadata, items)
    report = {
        "samples": len(kept),
        "unreadable": len(items) - len(kept),
        "scores": score(labels[kept], probabilities, options.resamples),
    }
    print(json.dumps(report, indent=2, sort_keys=True) if options.json else "\n".join(printed(report)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FoldstackError as error:
        sys.exit(str(error))
