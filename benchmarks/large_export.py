"""An ensemble of more than 2 GB, exported and run where there is nothing but onnxruntime (`make bench-large-export`).

Networks with random weights stand for trained ones: nothing of the export depends on their values. The real functions
write the model's file, the ensemble's and its 16-bit form, each in a process of its own, whose peak memory is what the
system counted; predict.py then labels images in an environment of onnxruntime, numpy and Pillow. Beside it: the export
of ten networks of one architecture against that of one. Renews docs/benchmarks/large-export.md.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests" / "tools")]
PAGE = ROOT / "docs" / "benchmarks" / "large-export.md"
CLASSES = [f"class {number}" for number in range(200)]
DATA = {"task": "images", "channels": 3, "fit": "crop", "digest": "d", "classes": CLASSES}
SMALL = (("small_cnn", 32), ("resnet18", 64))
REPEATS = 3


def dataset(size: int) -> dict:
    return DATA | {"image_size": [size, size]}


def make_runs(folder: Path, options) -> None:
    """Weights files with random weights, each a fold; one network in memory."""
    import torch

    from foldstack.models.network import Classifier, save_classifier

    sizes = {"image_size": [options.size] * 2, "store_size": [options.size] * 2}
    spec = {"architecture": options.architecture, "options": {}} | sizes
    for fold in range(options.networks):
        torch.manual_seed(fold)
        network = Classifier(spec | {key: DATA[key] for key in ("channels", "task", "classes")})
        save_classifier(network, folder / f"{fold}.safetensors")


def export_model(folder: Path, options) -> None:
    from foldstack.export.model import export_model

    runs = [(0, int(path.stem), path) for path in folder.glob("*.safetensors")]
    about = {"model": "net", "data_digest": "d", "folds_digest": "f"}
    started = time.process_time()
    export_model(
        runs,
        folder / "net.onnx",
        {key: value for key, value in dataset(options.size).items() if key != "digest"} | about,
    )
    print(time.process_time() - started)


def export_ensemble(folder: Path, options) -> None:
    from foldstack.export.ensemble import export_ensemble
    from foldstack.export.session import read_metadata

    stack = {"method": "mean", "models": ["net"], "best_single": "net", "weights": {"net": 1.0}, "floor": 1e-6}
    stack |= {"classes": CLASSES, "n_splits": read_metadata(folder / "net.onnx")["n_splits"], "meta_features": []}
    stack |= {"data_digest": "d", "folds_digest": "f"}
    about = {"architectures": {"net": "random"}, "licence": None, "scores": {}, "config_digest": "", "code_digest": ""}
    export_ensemble([folder / "net.onnx"], None, stack, dataset(options.size), about, folder / "ensemble.onnx")


def fp16(folder: Path, options) -> None:
    from foldstack.export.variants import write_fp16

    write_fp16(folder / "ensemble.onnx", folder / "fp16.onnx")


def torch_alone(folder: Path, options) -> None:
    """The probabilities by torch, one network in memory at a time: what predict.py must give."""
    import torch

    from foldstack.export.model_gate import torch_probabilities

    torch.set_num_threads(1)
    runs = [(0, int(path.stem), path) for path in folder.glob("*.safetensors")]
    np.save(folder / "expected.npy", torch_probabilities(runs, np.load(folder / "images.npz")["x"]).mean(axis=1))


STEPS = {step.__name__: step for step in (make_runs, export_model, export_ensemble, fp16, torch_alone)}


def measured(command: list, folder: Path) -> tuple[float, float]:
    """(seconds, peak MiB) of a process."""
    started = time.monotonic()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    child = subprocess.Popen(command, cwd=folder, env=clean, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))} failed.")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def step_of(step: str, folder, architecture: str, size: int, networks: int) -> list:
    """The command that does a step in a process of its own."""
    which = ["--architecture", architecture, "--size", str(size), "--networks", str(networks)]
    return [sys.executable, Path(__file__).resolve(), "--step", step, folder, *which]


def one_and_ten() -> list[str]:
    """Rows of a table: CPU seconds of the export of one and of ten networks, medians."""
    rows = []
    for architecture, size in SMALL:
        seconds: dict[int, list[float]] = {1: [], 10: []}
        for _ in range(REPEATS):
            for networks, found in seconds.items():
                with tempfile.TemporaryDirectory() as name:
                    for step in ("make_runs", "export_model"):
                        command = step_of(step, name, architecture, size, networks)
                        done = subprocess.run(command, capture_output=True, text=True, check=True)
                    found.append(float(done.stdout.splitlines()[-1]))
        one, ten = (statistics.median(seconds[networks]) for networks in (1, 10))
        rows.append(f"| {architecture}, {size} px | {one:.1f} s | {ten:.1f} s | {ten / one:.2f} |")
    return rows


def large(folder: Path, options) -> list[str]:
    """Rows of a table: seconds, peak memory and bytes of each step; and what came of it."""
    from alone import environment

    from foldstack.export.onnx_file import data_path, total_bytes

    python = environment(folder, None)
    images = np.random.default_rng(0).integers(0, 256, (2, options.size, options.size, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", x=images)
    rows = []
    which = options.architecture, options.size, options.networks
    steps = {name: step_of(name, folder, *which) for name in STEPS}
    predict = [python, ROOT / "predict.py"]
    for model in ("ensemble", "fp16"):
        given = [f"{model}.onnx", "images.npz", "--batch", "1", "--threads", "1", "-o", f"{model}.csv"]
        steps[f"predict.py {model}"] = [*predict, *given]
    files = {"export_model": "net", "export_ensemble": "ensemble", "fp16": "fp16"}
    for name, command in steps.items():
        seconds, memory = measured(command, folder)
        size = f"{options.networks} × {options.architecture}" if name == "make_runs" else ""
        if name in files:
            file = folder / f"{files[name]}.onnx"
            two = f" ({file.name} {file.stat().st_size / 1e6:.1f} MB)" if data_path(file).exists() else " (one file)"
            size = f"{total_bytes(file) / 1e9:.2f} GB{two}"
        rows.append(f"| {name} | {seconds:.0f} s | {memory / 1024:.2f} GiB | {size} |")
        print(rows[-1], flush=True)
    torch_says = np.load(folder / "expected.npy")
    for model in ("ensemble", "fp16"):
        found = np.loadtxt(folder / f"{model}.csv", delimiter=",", skiprows=1, usecols=range(3, 3 + len(CLASSES)))
        rows.append(f"| {model}: largest difference from torch | | | {np.abs(found - torch_says).max():.1e} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="of a step")
    parser.add_argument("--step", choices=STEPS, help="used by the benchmark itself")
    parser.add_argument("--architecture", default="vit_base_patch16_224")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--networks", type=int, default=7)
    parser.add_argument("--dry", action="store_true", help="print, and leave the page as it is")
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](Path(options.folder), options)
        return
    with tempfile.TemporaryDirectory() as name:
        rows = large(Path(name), options)
    small = one_and_ten()
    page = "\n".join([*HEAD, *rows, *MIDDLE, *small, ""])
    print(page)
    if not options.dry:
        PAGE.write_text(page, encoding="utf-8")


HEAD = f"""# Export of more than 2 GB

`make bench-large-export`: networks with random weights, exported by the real functions, then run by `predict.py` in an
environment of onnxruntime, numpy and Pillow. {os.cpu_count()} cores, other work beside; each step in a process of its
own, with one thread for torch and onnxruntime. Images: 2 of 224 px, {len(CLASSES)} classes.

| step | wall time | peak memory | size |
|---|---|---|---|""".splitlines()

MIDDLE = """
The weights go from file to file one tensor at a time; what the memory holds is PyTorch and a network while it is traced
and checked, and in `export_ensemble` onnxruntime with the whole file, since its golden samples are computed by itself.

## Ten networks against one

CPU time of `export_model`, the trace in it, without the imports. The aim was 1.5 at most.

| | 1 network | 10 networks | ratio |
|---|---|---|---|""".splitlines()


if __name__ == "__main__":
    main()
