"""Same network, epochs and strength of augmentation, by Foldstack and a plain loop: as good? (`make bench-quality`)

Speed is worth nothing if it costs accuracy. Both train `small_cnn` on a fifth of scikit-learn's digits, so few that
there are errors to tell apart, and are scored on the rest, which nothing is chosen on, with several seeds each:

    Foldstack  a run of the pipeline (train_fold) that holds no fold out: AdamW, cosine, augmentation `standard`
    plain      a Dataset, a DataLoader, torchvision transforms of the same ranges, and torch's usual loop
"""

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from scipy import stats  # noqa: E402
from torch import nn  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

from foldstack import files, tables  # noqa: E402
from foldstack.config import resolve  # noqa: E402
from foldstack.data.pixels import open_pixels  # noqa: E402
from foldstack.data.prepare import prepare  # noqa: E402
from foldstack.models import registry  # noqa: E402
from foldstack.reruns import versions  # noqa: E402
from foldstack.reruns.code_digest import Code  # noqa: E402
from foldstack.training import augment  # noqa: E402
from foldstack.training.run import Place, Run, RunFiles  # noqa: E402
from foldstack.training.train import train_fold  # noqa: E402

ARCHITECTURE, LR = "small_cnn", 0.003
SCORES = {"accuracy": ".4f", "log_loss": ".4f"}
MARGIN = 3  # px of border that geometry may move into view
DATA = {"samples": "samples.parquet", "pixels": "pixels.npy", "dataset": "dataset.json"}
OUTPUTS = {"weights": "weights.safetensors", "oof": "oof.arrow", "test": "test.arrow"}
OUTPUTS |= {"history": "history.csv", "run": "run.json"}


class Digits:
    """The data on disk, as the data and folds stages leave them, and as arrays."""

    def __init__(self, folder: Path, epochs: int):
        block = {"epochs": epochs, "lr": LR, "selection": "final", "augmentation": "standard"}
        resolved = resolve.resolve(
            {"experiment": "quality", "data": {"test_fraction": 0.8}, "models": {ARCHITECTURE: block}}
        )
        self.folder, self.config = folder, resolve.training_slice(resolved, ARCHITECTURE)
        self.paths = {key: folder / name for key, name in DATA.items()}
        more = {"quarantine": folder / "quarantine.csv", "pairs": folder / "duplicates.parquet"}
        more |= {"intake": folder / "intake.json"}
        self.dataset = prepare(resolved["data"], **self.paths, **more)
        samples = tables.read_samples(self.paths["samples"])
        pixels = open_pixels(self.paths["pixels"])
        for split in ("train", "test"):
            chosen = samples[samples["split"] == split].sort_values("sample_id")
            arrays = pixels[chosen["row"].to_numpy()], chosen["label"].to_numpy(np.int64)
            setattr(self, split, tuple(map(np.array, arrays)))
        ids = sorted(samples.loc[samples["split"] == "train", "sample_id"])
        self.folds = pd.DataFrame({"sample_id": ids, "fold": np.arange(len(ids)) % 2, "inner": 0})
        self.paths |= {"folds": folder / "folds.parquet", "folds_summary": folder / "folds.json"}
        tables.write_folds(self.folds, self.paths["folds"])
        files.write_json(self.paths["folds_summary"], {"data_digest": self.dataset["digest"], "digest": "halves"})

    def ours(self, seed: int) -> np.ndarray:
        """Logits of the test samples, by a run without a held-out fold: the one behind the last."""
        folder = self.folder / f"seed{seed}"
        outputs = {key: folder / name for key, name in OUTPUTS.items()}
        run = Run(ARCHITECTURE, seed, 2, self.config, Code("", []))
        train_fold(run, RunFiles(**self.paths), Place(outputs, folder / "work"), device="cpu")
        classes = self.dataset["classes"]
        return tables.logits(tables.read_predictions(outputs["test"], classes))

    def plain(self, seed: int) -> np.ndarray:
        """Logits of the test samples, by a loop as in torch's tutorials."""
        torch.manual_seed(seed)
        pixels, labels = self.train
        mean, std = pixels.mean() / 255, pixels.std() / 255
        normalise = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([mean], [std])]
        training = Images(pixels, labels, v2.Compose([*transforms(pixels.shape[1]), *normalise]))
        loader = torch.utils.data.DataLoader(training, self.config["batch_size"], shuffle=True)
        shape = {"in_channels": 1, "n_classes": 10, "image_size": pixels.shape[1:3]}
        model = registry.build(ARCHITECTURE, **shape, options={})
        optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=self.config["weight_decay"])
        warm, total = (round(self.config[key] * len(loader)) for key in ("warmup_epochs", "epochs"))
        schedule = torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 1 / (warm + 1), total_iters=warm),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warm),
            ],
            [warm],
        )
        for _ in range(self.config["epochs"]):
            model.train()
            for images, targets in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images), targets).backward()
                optimizer.step()
                schedule.step()
        model.eval()
        with torch.inference_mode():
            images = torch.from_numpy(self.test[0]).permute(0, 3, 1, 2)
            return model(v2.Compose(normalise)(images)).numpy()

    def scores(self, logits: np.ndarray) -> dict:
        labels = torch.from_numpy(self.test[1])
        loss = nn.functional.cross_entropy(torch.tensor(logits).double(), labels)
        return {"accuracy": float((logits.argmax(axis=1) == self.test[1]).mean()), "log_loss": float(loss)}


class Images(torch.utils.data.Dataset):
    def __init__(self, pixels: np.ndarray, labels: np.ndarray, transform):
        self.pixels, self.labels, self.transform = torch.from_numpy(pixels).permute(0, 3, 1, 2), labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(self.pixels[i]), self.labels[i]


def transforms(side: int) -> list:
    """torchvision's of the ranges of `standard`; what comes in from outside repeats the border, as with ours."""
    ranges = augment.PRESETS["standard"]
    shift = ranges.shift * side / (side + 2 * MARGIN)
    return [
        v2.Pad(MARGIN, padding_mode="edge"),
        v2.RandomAffine(
            ranges.rotate,
            translate=(shift, shift),
            scale=(1 - ranges.scale, 1 + ranges.scale),
            interpolation=v2.InterpolationMode.BILINEAR,
        ),
        v2.CenterCrop(side),
        v2.ColorJitter(brightness=ranges.brightness, contrast=ranges.contrast),
    ]


def compare(ours: list[float], plain: list[float]) -> dict:
    """Ours less plain: the mean and Welch's 95 % interval."""
    test = stats.ttest_ind(ours, plain, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return {"difference": np.mean(ours) - np.mean(plain), "low": low, "high": high, "agree": low <= 0 <= high}


def page(found: pd.DataFrame, data: Digits, epochs: int) -> str:
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    packages = versions.versions()
    lines = [
        "# Equal quality: Foldstack's training and a plain loop\n",
        "Written by `make bench-quality`. The same network, epochs, optimizer, schedule and strength of augmentation, "
        "by a run of the pipeline and by a Dataset, a DataLoader, torchvision's transforms and torch's usual loop "
        "([the code](../../benchmarks/equal_quality.py)).\n",
        f"`{ARCHITECTURE}`, {epochs} epochs, batches of {data.config['batch_size']}, learning rate {LR:g}, on "
        f"{len(data.train[1])} of scikit-learn's digits; scored on the other {len(data.test[1])}, on which nothing was "
        f"chosen. {found['seed'].nunique()} seeds each. {names[0] if names else platform.machine()}, one thread; "
        f"torch {packages['torch']}.\n",
        "| | seeds | accuracy: mean (SD) | each | log-loss: mean (SD) | each |\n|---|---|---|---|---|---|",
    ]
    for name, rows in found.groupby("by", sort=False):
        cells = []
        for score, form in SCORES.items():
            cells += [f"{rows[score].mean():{form}} ({rows[score].std():{form}})"]
            cells += [", ".join(f"{value:{form}}" for value in rows[score])]
        lines.append(f"| {name} | {len(rows)} | " + " | ".join(cells) + " |")
    lines.append("")
    for score, form in SCORES.items():
        result = compare(*(rows[score].tolist() for _, rows in found.groupby("by", sort=False)))
        noise = "the two agree within seed noise" if result["agree"] else "**more than seed noise explains**"
        lines.append(
            f"- {score.replace('_', '-')}: Foldstack less plain {result['difference']:+{form}}, 95 % interval (Welch) "
            f"{result['low']:+{form}} to {result['high']:+{form}}: {noise}."
        )
    return "\n".join(lines) + "\n"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks" / "quality.md")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        data = Digits(Path(folder), options.epochs)
        for seed in range(options.seeds):
            for name, train in (("Foldstack", data.ours), ("plain loop", data.plain)):
                found.append({"by": name, "seed": seed} | data.scores(train(seed)))
                print(found[-1], flush=True)
        files.write_text(options.out, page(pd.DataFrame(found), data, options.epochs))


if __name__ == "__main__":
    main()
