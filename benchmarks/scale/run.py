"""How time, memory and bytes of each stage grow with classes and samples (`make bench-scale`).

    make bench-scale                                        everything, and docs/benchmarks/scale.md
    make bench-scale ARGS="--classes 200 --samples 10000 --parts grid"
    make bench-scale ARGS="--parts whole scores --cifar cifar10.tar.gz"

What ended is kept in results/bench-scale/cells/*.json and is not measured again: the same command goes on where it
was stopped. The older code is a commit of this repository, in a folder of its own.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("workflow/scripts", "benchmarks")]

from scale import cell, exports, page, scores, whole  # noqa: E402

BEFORE = "3fde706"  # the last one before this growth was looked at
WHOLE = (200, 100_000, 10_000, 3, 2)  # classes, training and validation images, folds, epochs: TinyImageNet's size
MOST_BEFORE = 20_000_000  # samples times classes: the older code is not asked for more than fits into memory
PARTS = ("grid", "before", "export", "whole", "scores", "page")


def older_code(work: Path, commit: str) -> Path:
    """workflow/scripts of a commit."""
    folder = work / "code" / commit
    if not (folder / "Snakefile").exists():
        folder.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    return folder / "workflow" / "scripts"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 200, 1000])
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 30_000, 100_000], help="training samples")
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--architectures", nargs="*", default=["small_cnn", "resnet18"], help="of the part export")
    parser.add_argument("--before", default=BEFORE, help="commit of the older code")
    parser.add_argument("--memory", type=float, default=12, help="GiB that one process may take")
    parser.add_argument("--limit", type=float, default=5400, help="seconds that one stage may take")
    parser.add_argument("--limit-before", type=float, default=900, help="the same for the older code")
    parser.add_argument("--whole", type=int, nargs=5, metavar=("CLASSES", "TRAIN", "VAL", "FOLDS", "EPOCHS"))
    parser.add_argument("--cifar", type=Path, help="folder or tar of CIFAR-10's images, for the part scores")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of the whole run")
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "bench-scale")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "benchmarks" / "scale.md")
    parser.add_argument("--keep", action="store_true", help="keep the files of each cell")
    options = parser.parse_args()
    work, parts = options.work.resolve(), options.parts
    limits = cell.Limits(options.memory, options.limit, options.limit_before)
    code = older_code(work, options.before) if {"before", "export"} & set(parts) else None
    if "whole" in parts:
        whole.measure(work, ROOT, *(options.whole or WHOLE), options.cores)
    if "scores" in parts:
        scores.measure(work, ROOT, options.cifar, options.cores)
    for architecture in options.architectures if "export" in parts else []:
        exports.measure(work, code, architecture, limits)
    for samples in sorted(options.samples):
        for classes in sorted(options.classes):
            one = cell.Cell(work, classes, samples, options.models, options.folds)
            if "grid" in parts:
                cell.measure(one, limits)
            if "before" in parts and code and classes * samples <= MOST_BEFORE:
                cell.measure_before(one, code, limits)
            if not options.keep:
                shutil.rmtree(one.folder, ignore_errors=True)
    if "page" in parts:
        page.write(work, options.page, options.models, options.folds)


if __name__ == "__main__":
    main()
