"""Does the exported file need nothing but onnxruntime, numpy and Pillow? (`make verify-alone RESULTS=results/digits`)

A new virtual environment gets these three and what they need, in the versions of envs/requirements.txt. In an empty
folder with predict.py and the file, the test split is labelled, and compared with the pipeline's stack/test.arrow.
`--onnxruntime 1.21.0` does it with the oldest runtime that the file names.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from foldstack import tables  # noqa: E402
from foldstack.data.pixels import open_pixels  # noqa: E402
from foldstack.export.onnx_file import data_path  # noqa: E402
from foldstack.files import read_json  # noqa: E402

PACKAGES = ("onnxruntime", "numpy", "pillow")
SHARE = 0.01  # of samples that float32's rounding may move across a tree's threshold, as in the gate


def environment(folder: Path, version: str | None) -> Path:
    """A virtual environment with PACKAGES; returns its Python."""
    python = folder / "venv" / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    wanted = ["-c", ROOT / "envs" / "requirements.txt", *PACKAGES]
    if version:
        wanted = [f"onnxruntime=={version}", "numpy", "pillow"]
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *wanted], check=True)
    listed = subprocess.run(
        [*uv, "pip", "list", "--python", python, "--format", "json"], check=True, capture_output=True, text=True
    )
    print("in the environment:", ", ".join(f"{row['name']} {row['version']}" for row in json.loads(listed.stdout)))
    return python


def write_test(results: Path, path: Path) -> None:
    """The stored pixels of the test split as an NPZ file."""
    samples = tables.read_samples(results / "data" / "samples.parquet")
    test = samples[samples["split"] == "test"]
    if test.empty:
        raise SystemExit(f"{results} has no test split to compare on.")
    pixels = open_pixels(results / "data" / "pixels.npy")[test["row"].to_numpy()]
    views = {"x": pixels}
    if read_json(results / "data" / "dataset.json")["task"] == "pairs":
        views = {"xa": pixels[:, 0], "xb": pixels[:, 1]}
    np.savez(path, id=test["sample_id"].to_numpy(str), **views)


def compare(results: Path, written: Path, tolerance: float) -> bool:
    """Print how far the two are apart; returns whether they agree."""
    stack = read_json(results / "stack" / "stack.json")
    found = pd.read_csv(written, dtype={"sample_id": str, "label": str}).set_index("sample_id")
    expected = tables.soft_labels(results / "stack" / "test.arrow", stack["method"], found.index, stack["classes"])
    values = found[[f"prob_{name}" for name in stack["classes"]]].to_numpy()
    difference = np.abs(values - expected).max(axis=1)
    flips = int((values.argmax(axis=1) != expected.argmax(axis=1)).sum())
    moved = int((difference > tolerance).sum())
    print(
        f"{len(found)} test samples against stack/test.arrow: largest difference {difference.max():.2g}, "
        f"{moved} beyond {tolerance:g}, {flips} other labels"
    )
    return moved <= max(1, SHARE * len(found)) and flips <= moved


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="?", type=Path, default=ROOT / "results" / "digits")
    parser.add_argument("--onnxruntime", metavar="VERSION", help="another version than the pinned one")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="0.02 for runs that predicted on a GPU")
    options = parser.parse_args()
    file = options.results / "export" / "ensemble.onnx"
    if not file.exists() or not file.stat().st_size:
        raise SystemExit(f"{file} does not exist, or is empty; run the workflow first.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(folder, options.onnxruntime)
        alone = folder / "alone"
        alone.mkdir()
        shutil.copyfile(ROOT / "predict.py", alone / "predict.py")
        for part in (file, data_path(file)):
            if part.exists():  # weights of more than 2 GB lie beside
                shutil.copyfile(part, alone / part.name)
        write_test(options.results, alone / "test.npz")
        command = [python, "predict.py", "ensemble.onnx", "test.npz", "--self-test", "-o", "predictions.csv"]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        subprocess.run(command, cwd=alone, env=clean, check=True)
        return 0 if compare(options.results, alone / "predictions.csv", options.tolerance) else 1


if __name__ == "__main__":
    sys.exit(main())
