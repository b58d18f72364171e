"""Latency and memory of the exported ensemble against what it replaces (`make bench-export`).

Three ways from stored pixels to the ensemble's probabilities, of a finished run:

- one file: export/ensemble.onnx
- separate sessions: export/models/*.onnx, then numpy and LightGBM
- torch + LightGBM: the networks as they were trained, eager, in inference mode, then numpy and LightGBM

All run in one process with one thread and take turns in random order on the same batch, so that other work on the
machine hits all three; a ratio is taken within a round. Memory is measured in a process of each one's own.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
ROUNDS = {1: 200, 8: 100, 64: 40}  # by batch
TOLERANCE = 1e-4  # between the three: who computes something else is not compared
MEMORY_BATCH = 64


def one_file(results: Path):
    from foldstack.export.session import open_session

    session, _ = open_session(results / "export" / "ensemble.onnx")
    return lambda pixels: session.run(["probabilities"], {"image": pixels})[0]


def separate_sessions(results: Path):
    from foldstack.export.session import open_session

    spec, stack = _stack(results)
    sessions = [open_session(results / "export" / "models" / f"{model}.onnx")[0] for model in spec["models"]]

    def predict(pixels):
        return stack([session.run(["fold_probabilities"], {"image": pixels})[0] for session in sessions])

    return predict


def torch_lightgbm(results: Path):
    import torch

    from foldstack.files import read_json
    from foldstack.models.network import load_classifier

    torch.set_num_threads(1)
    spec, stack = _stack(results)
    networks = []
    for model in spec["models"]:
        folders = [path.parent for path in results.glob(f"models/{model}/seed*/fold*/run.json")]
        by_fold = sorted((read_json(folder / "run.json")["fold"], folder) for folder in folders)
        networks.append([load_classifier(folder / "weights.safetensors") for _, folder in by_fold])

    def predict(pixels):
        with torch.inference_mode():
            images = torch.from_numpy(pixels)
            each = [torch.stack([network(images).softmax(-1) for network in own], dim=1) for own in networks]
            return stack([one.unflatten(1, (spec["n_splits"], -1)).mean(dim=2).numpy() for one in each])

    return predict


def _stack(results: Path):
    """stack.json, and a function from a list of (N, n_splits, C), one a model, to (N, C)."""
    import lightgbm
    import numpy as np

    from foldstack.ensemble.stacking import predict_folds
    from foldstack.files import read_json

    spec = read_json(results / "stack" / "stack.json")
    booster = lightgbm.Booster(model_file=str(results / "stack" / "stacker.txt"))

    def stack(by_model):
        members = np.stack(by_model).astype(np.float64).transpose(0, 2, 1, 3)
        return predict_folds(spec["method"], spec, members / members.sum(axis=-1, keepdims=True), booster)

    return spec, stack


WAYS = {"one file": one_file, "separate sessions": separate_sessions, "torch + LightGBM": torch_lightgbm}


def pixels_of(results: Path, count: int):
    """Stored pixels of `count` samples, the first of the file again where it holds fewer."""
    import numpy as np

    from foldstack.data.pixels import open_pixels

    stored = open_pixels(results / "data" / "pixels.npy")
    return np.ascontiguousarray(stored[np.arange(count) % len(stored)])


def peak_memory(results: Path, way: str) -> float:
    """MiB at most of a new process that opens the files and predicts one batch of MEMORY_BATCH."""
    command = [sys.executable, __file__, str(results), "--memory-of", way]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def latencies(results: Path, share: float) -> dict:
    """{batch: {way: [(CPU seconds, wall seconds) of each round]}}; stops where the ways do not agree."""
    import numpy as np

    predictors = {name: make(results) for name, make in WAYS.items()}
    random, found = np.random.default_rng(0), {}
    for batch, rounds in ROUNDS.items():
        pixels = pixels_of(results, batch)
        outputs = {name: predict(pixels) for name, predict in predictors.items() for _ in range(3)}  # warm-up
        for name, values in outputs.items():
            difference = np.abs(values - outputs["one file"]).max()
            if not difference <= TOLERANCE:
                raise SystemExit(f"{name} and the one file differ by {difference:.2g}; export again.")
        found[batch] = {name: [] for name in predictors}
        for _ in range(max(3, int(rounds * share))):
            for name in random.permutation(list(predictors)):
                wall, cpu = time.perf_counter(), time.thread_time()
                predictors[name](pixels)
                found[batch][name].append((time.thread_time() - cpu, time.perf_counter() - wall))
    return found


def spread(values) -> str:
    """Median (10th to 90th percentile)."""
    tenths = statistics.quantiles(values, n=10)
    return f"{statistics.median(values):.2f} ({tenths[0]:.2f} to {tenths[-1]:.2f})"


def report(found: dict, memory: dict) -> str:
    lines = ["| batch | rounds | one file, CPU ms | torch / one file: CPU | wall | separate / one file: CPU | wall |"]
    lines.append("|---|---|---|---|---|---|---|")
    for batch, ways in found.items():
        own = ways["one file"]
        cells = [str(batch), str(len(own)), spread([1000 * cpu for cpu, _ in own])]
        for other in ("torch + LightGBM", "separate sessions"):
            for kind in (0, 1):
                cells.append(spread([a[kind] / b[kind] for a, b in zip(ways[other], own, strict=True)]))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| | peak memory, MiB |", "|---|---|"]
    return "\n".join(lines + [f"| {way} | {size:.0f} |" for way, size in memory.items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="?", type=Path, default=ROOT / "results" / "digits")
    parser.add_argument("--share", type=float, default=1.0, help="of the rounds; 0.1 for a quick look")
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (options.results / "export" / "ensemble.onnx").exists():
        raise SystemExit(f"{options.results} holds no export/ensemble.onnx; run `make demo` first.")
    if options.memory_of:
        WAYS[options.memory_of](options.results)(pixels_of(options.results, MEMORY_BATCH))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    # First, while this process is small: a new process inherits the peak of the one that starts it.
    memory = {way: peak_memory(options.results, way) for way in WAYS}
    print(report(latencies(options.results, options.share), memory))


if __name__ == "__main__":
    main()
