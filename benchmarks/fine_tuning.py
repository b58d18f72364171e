"""Fine-tuning: how much does it bring, and by which statistics should images be normalised? (`make bench-finetune`)

A folder of images in ten or more classes is cut into two halves of five classes, by each seed differently. A small
network is trained on one half; then it is fine-tuned on 100 to 5,000 images of the other and scored on images of these
classes that nothing else has seen. Every training is a run of the pipeline (train_fold) that holds no fold out. Arms:

    scratch    no weights to start from
    whole      all layers learn
    head only  the last layer learns, all else stays as it is (`head_only_epochs` = `epochs`)

the last two with images normalised by the mean and deviation of the new data, and by those of the weights' own. They
differ only where the new images look different, so all is repeated with two transformations of the other half: `dark`
(40 % of the light, as from another camera) and `disc` (the middle of the image on black, as from a microscope).
"""

import argparse
import contextlib
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from scipy import stats  # noqa: E402

from foldstack import files, tables  # noqa: E402
from foldstack.config import resolve  # noqa: E402
from foldstack.models import pretrained  # noqa: E402
from foldstack.models.network import Classifier  # noqa: E402
from foldstack.reruns import versions  # noqa: E402
from foldstack.reruns.code_digest import Code  # noqa: E402
from foldstack.training.run import Place, Run, RunFiles  # noqa: E402
from foldstack.training.train import train_fold  # noqa: E402

ARCHITECTURE = "small_resnet"
SIDE = 16  # px; a quarter of the time that CIFAR's 32 take
BEFORE = {"images": 20_000, "epochs": 8, "lr": 0.003}
EPOCHS = {100: 60, 500: 30, 1000: 20, 5000: 4}  # by the number of images to fine-tune on
LR = {"scratch": 0.003, "whole": 0.003, "head only": 0.01}
NORMALISED = ("data", "weights")
TESTED = 2000
MEANING = """\
What it means, as the figures were when the default was chosen: the weights' own statistics, which timm and fastai take,
were nowhere better beyond noise, and the data's were better on images under another light, which they undo. So the
default is the data's, with weights to start from as without.

This is one small network with batch normalisation on small photographs; networks trained on ImageNet were not measured.
"""
OUTPUTS = {"weights": "weights.safetensors", "oof": "oof.arrow", "test": "test.arrow"}
OUTPUTS |= {"history": "history.csv", "run": "run.json"}


def dark(images: np.ndarray) -> np.ndarray:
    return np.round(images * 0.4).astype(np.uint8)


def disc(images: np.ndarray) -> np.ndarray:
    height, width = images.shape[1:3]
    rows, columns = np.ogrid[:height, :width]
    inside = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2) <= 0.375 * min(height, width)
    return images * inside[:, :, None]


DOMAINS = {"as they are": lambda images: images, "dark": dark, "disc": disc}
TITLES = {
    "as they are": "Images like those before",
    "dark": "40 % of the light, as from another camera",
    "disc": "The middle of each image on black, as from a microscope",
}


class Half:
    """Images of five classes on disk, as the data and folds stages leave them: `n` to train on, and some to test."""

    def __init__(self, folder: Path, images: np.ndarray, labels: np.ndarray, n: int):
        folder.mkdir(parents=True)
        self.folder, self.classes = folder, [str(label) for label in range(labels.max() + 1)]
        ids = [f"{row:06d}" for row in range(len(images))]
        samples = pd.DataFrame({"sample_id": ids, "split": np.where(np.arange(len(ids)) < n, "train", "test")})
        samples = samples.assign(label=labels, group=None, fold=pd.array([None] * len(ids), dtype="Int64"))
        samples = samples.assign(caption=None, source=ids, hash=ids, view_hashes=[[name] for name in ids])
        names = {"samples": "samples.parquet", "pixels": "pixels.npy", "dataset": "dataset.json"}
        self.files = {key: folder / name for key, name in names.items()}
        tables.write_samples(samples.assign(row=np.arange(len(ids))), self.files["samples"])
        np.save(self.files["pixels"], images)
        height, width, channels = images.shape[1:]
        about = {"task": "images", "classes": self.classes, "image_size": [height, width], "channels": channels}
        files.write_json(self.files["dataset"], about | {"digest": "data"})
        self.labels = pd.Series(labels[n:], index=ids[n:])

    def run(self, name: str, n: int, seed: int, weights: Path | None = None, **settings) -> tuple[float, Path]:
        """Train on the first `n`; returns the accuracy on all that are there to test, and the file of weights."""
        folder = self.folder / name
        given = self.files | {"folds": folder / "folds.parquet", "folds_summary": folder / "folds.json"}
        folds = pd.DataFrame({"sample_id": [f"{row:06d}" for row in range(n)], "fold": np.arange(n) % 2, "inner": 0})
        folder.mkdir()
        tables.write_folds(folds, given["folds"])
        files.write_json(given["folds_summary"], {"data_digest": "data", "digest": "halves"})
        block = {"architecture": ARCHITECTURE, "selection": "final", "threads": 1} | settings
        config = resolve.training_slice(resolve.resolve({"experiment": "finetune", "models": {"m": block}}), "m")
        outputs = {key: folder / file for key, file in OUTPUTS.items()}
        run = Run("m", seed, 2, config, Code("", []))  # the fold behind the last: none is held out
        with open(os.devnull, "w") as nothing:
            terminal, sys.stdout = sys.stdout, nothing
            try:
                train_fold(run, RunFiles(**given, pretrained=weights), Place(outputs, folder / "work"), device="cpu")
            finally:
                sys.stdout = terminal
        predicted = tables.read_predictions(outputs["test"], self.classes).set_index("sample_id")
        found = tables.logits(predicted).argmax(axis=1)
        return float((found == self.labels[predicted.index].to_numpy()).mean()), outputs["weights"]


def drawn(folder: Path, classes: list[str], counts: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """`counts` images (N, H, W, 3) of `classes` in random order, each class equally often, and their numbers."""
    chosen = []
    for label, name in enumerate(classes):
        paths = sorted(path for path in (folder / name).iterdir() if path.is_file())
        if len(paths) < counts // len(classes):
            sys.exit(f"{folder / name} holds {len(paths)} images, and {counts // len(classes)} are needed.")
        chosen.append([(path, label) for path in rng.permutation(paths)[: counts // len(classes)]])
    mixed = [pair for several in zip(*chosen, strict=True) for pair in several]  # any first 5 n have n of each class
    images = [np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path, _ in mixed]
    return np.stack(images), np.array([label for _, label in mixed], np.int64)


@contextlib.contextmanager
def normalised_by(statistics: dict | None):
    """Runs of the block take these `mean` and `std` instead of their own images'; None changes nothing."""
    own = Classifier.set_statistics

    def given(classifier, pixels):
        for name, value in statistics.items():
            getattr(classifier, name).copy_(value)

    Classifier.set_statistics = given if statistics else own
    try:
        yield
    finally:
        Classifier.set_statistics = own


def part_of(count: int, share: float) -> int:
    """Images of two halves of five classes each, so a multiple of ten."""
    return max(10, 10 * round(share * count / 10))


def measure(data: Path, folder: Path, seed: int, share: float):
    """Yield one row for each run on the second half."""
    rng = np.random.default_rng(seed)
    before, tested = part_of(BEFORE["images"], share), part_of(TESTED, share)
    after = {part_of(n, share): max(1, round(share * epochs)) for n, epochs in EPOCHS.items()}
    names = rng.permutation(sorted(path.name for path in data.iterdir() if path.is_dir()))
    first = Half(folder / "first", *drawn(data, list(names[:5]), before + tested // 5, rng), before)
    settings = {"epochs": max(1, round(share * BEFORE["epochs"])), "lr": BEFORE["lr"]}
    accuracy, weights = first.run("before", before, seed, **settings)
    yield {"seed": seed, "domain": "", "n": before, "arm": "before", "by": "data", "accuracy": accuracy}
    start = folder / "start.safetensors"
    pretrained.fetch(ARCHITECTURE, str(weights), start, folder / "start.json")
    tensors = safetensors.torch.load_file(weights)
    statistics = {name: tensors[name] for name in pretrained.STATISTICS}
    images, labels = drawn(data, list(names[5:10]), max(after) + tested, rng)
    for domain, transform in DOMAINS.items():
        half = Half(folder / domain, transform(images), labels, max(after))
        for n, epochs in after.items():
            arms = [(arm, by) for arm in ("whole", "head only") for by in NORMALISED]
            for arm, by in [*arms, ("scratch", "data")] if domain == "as they are" else arms:
                given = {"epochs": epochs, "lr": LR[arm], "warmup_epochs": 1}
                given |= {"head_only_epochs": epochs} if arm == "head only" else {}
                with normalised_by(statistics if by == "weights" else None):
                    accuracy, _ = half.run(f"{n} {arm} {by}", n, seed, None if arm == "scratch" else start, **given)
                yield {"seed": seed, "domain": domain, "n": n, "arm": arm, "by": by, "accuracy": accuracy}


def page(rows: pd.DataFrame, share: float) -> str:
    before, found = rows[rows["arm"] == "before"], rows[rows["arm"] != "before"]
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    seeds, torchs, minutes = found["seed"].nunique(), versions.versions()["torch"], rows["cpu_seconds"].max() / 60
    lines = [
        "# Fine-tuning: what it brings, and by which statistics images are normalised\n",
        "Written by `make bench-finetune` ([the code](../../benchmarks/fine_tuning.py)). Each seed cuts ten classes "
        f"into two halves: `{ARCHITECTURE}` learns five of them on {before['n'].max():,} images of {SIDE} px "
        f"({max(1, round(share * BEFORE['epochs']))} epochs; accuracy there {_mean(before['accuracy'])}), then the "
        f"other five, and is scored on {part_of(TESTED, share):,} images of these, on which nothing was chosen. "
        '"Data" and "weights" say whose mean and '
        "deviation images are normalised by; all else of the two is the same, samples and random numbers included. "
        f"Accuracy in per cent, mean (SD) of {seeds} seeds; differences are weights' less data's, in points, mean and "
        f"each seed. {names[0] if names else platform.machine()}, one thread; torch {torchs}; {minutes:.0f} minutes of "
        "CPU time"
        + (f"; only {share:g} of the images and epochs: a quick look, no measurement" if share < 1 else "")
        + ".\n",
    ]
    for domain, part in found.groupby("domain", sort=False):
        lines += [f"## {TITLES[domain]}\n", *_table(part), *_verdicts(part)]
    return "\n".join([*lines, "## Over all\n", *_verdicts(found), MEANING])


def _table(part: pd.DataFrame) -> list[str]:
    """One row for each number of images."""
    heads = ["images", "scratch"] if "scratch" in set(part["arm"]) else ["images"]
    heads += [f"{arm}: {by}" for arm in ("whole", "head only") for by in (*NORMALISED, "difference")]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for n, rows in part.groupby("n"):
        cells = {f"{arm}: {by}": _mean(each["accuracy"]) for (arm, by), each in rows.groupby(["arm", "by"])}
        cells |= {"images": f"{n:,}", "scratch": cells.get("scratch: data")}
        for arm, values in _differences(rows).items():
            cells[f"{arm}: difference"] = f"{values.mean():+.1f} ({', '.join(f'{value:+.1f}' for value in values)})"
        lines.append("| " + " | ".join(cells[head] for head in heads) + " |")
    return [*lines, ""]


def _verdicts(part: pd.DataFrame) -> list[str]:
    """Over all numbers of images: the mean difference of each seed, and a 95 % interval over the seeds."""
    lines, found = [], _differences(part)
    for arm, values in (found | {"both": pd.concat(found)}).items():
        of_seeds = values.groupby("seed").mean()
        low, high = stats.ttest_1samp(of_seeds, 0).confidence_interval(0.95)
        better = (
            "no difference beyond noise"
            if low <= 0 <= high
            else f"**better by the {'weights' if low > 0 else 'data'}**"
        )
        lines.append(
            f"- {arm}: weights' less data's {of_seeds.mean():+.2f} points, 95 % interval over the seeds {low:+.2f} to "
            f"{high:+.2f}, above zero in {(values > 0).sum()} of {len(values)} pairs: {better}."
        )
    return [*lines, ""]


def _differences(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Points of accuracy by the weights' statistics less by the data's, of each pair of runs, by arm."""
    wide = rows[rows["arm"] != "scratch"].set_index(["arm", "domain", "seed", "n", "by"])["accuracy"].unstack("by")
    return {arm: 100 * (wide["weights"] - wide["data"]).loc[arm] for arm in ("whole", "head only")}


def _mean(values: pd.Series) -> str:
    return f"{100 * values.mean():.1f} ({100 * values.std():.1f})"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with train/<class>/<image>, such as CIFAR-10")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks" / "fine-tuning.md")
    parser.add_argument("--rows", type=Path, help="a CSV file to keep the single runs in")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the images and epochs, for a quick look")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(options.data / "train", Path(folder), seed, options.share):
                rows.append(row | {"cpu_seconds": round(time.process_time())})
                print(rows[-1], flush=True)
                if options.rows:
                    pd.DataFrame(rows).to_csv(options.rows, index=False)
    files.write_text(options.out, page(pd.DataFrame(rows), options.share))


if __name__ == "__main__":
    main()
