"""Images per second of a run's training: ceiling, Foldstack, timm's loop, a plain loop (`make bench`).

All contenders live in one process and take turns in random order, so that whatever else the machine does hits all of
them alike; ratios are taken within a round. Each trains the same network with AdamW on images of its own input size:

    ceiling    forward, backward and step alone, on one synthetic batch that stays on the device
    ours       Loop of foldstack/loop.py with the preset `strong`: reading, augmentation, checks, reports, checkpoints
    timm       the loop of timm's train.py, rebuilt from its create_dataset, create_loader, create_optimizer_v2 and
               create_scheduler_v2 with train.py's defaults, plus its options --channels-last and, on a GPU, --amp; the
               script itself is in no wheel
    plain      ImageFolder, DataLoader and torchvision transforms, and torch's usual loop

Variants of ours, each with one remedy taken away or added, are measured in the same rounds.
"""

import argparse
import contextlib
import functools
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import fixed_cost  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from other_loops import plain_loop, timm_loop  # noqa: E402
from PIL import Image  # noqa: E402
from training_page import machine, table  # noqa: E402

from foldstack import files  # noqa: E402
from foldstack.config import resolve  # noqa: E402
from foldstack.models import network, registry  # noqa: E402
from foldstack.reruns import versions  # noqa: E402
from foldstack.reruns.code_digest import Code  # noqa: E402
from foldstack.training import augment, checkpoint, distributed, inputs, loop, steps  # noqa: E402
from foldstack.training.precision import Precision  # noqa: E402
from foldstack.training.run import Run  # noqa: E402
from foldstack.training.state import Data, State, Subset  # noqa: E402

CASES = {  # name: architecture, size, batch size, steps a round, file type
    "small": ("small_resnet", 32, 64, 40, "png"),
    "resnet18": ("resnet18", 224, 32, 6, "jpg"),
    "resnet50": ("resnet50", 224, 128, 30, "jpg"),
}
CLASSES = 10
READ_FILES = ("timm", "plain")
REMEDIES = {
    "ours, augmentation one image at a time": "by_image",
    "ours, torch's default memory layout": "contiguous",
    "ours, pixels read from the memory map": "mapped",
    "ours, no augmentation": "bare",
    "ours, bfloat16": "bfloat16",
}


def make_images(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth colourful noise (N, size, size, 3) uint8, which compresses about as photographs do, and labels."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((count, 3, 8, 8), dtype=np.float32))
    fine = torch.from_numpy(rng.random((count, 3, size // 2, size // 2), dtype=np.float32))
    up = functools.partial(torch.nn.functional.interpolate, size=(size, size), mode="bicubic")
    pixels = (up(coarse) * 0.8 + up(fine) * 0.2).clamp(0, 1).mul(255).byte().permute(0, 2, 3, 1)
    return pixels.contiguous().numpy(), np.arange(count) % CLASSES


def write_files(folder: Path, pixels: np.ndarray, labels: np.ndarray, kind: str, count: int) -> None:
    """pixels.npy, and `count` image files: hard links from the second round on, so that no loader comes to its end."""
    np.save(folder / "pixels.npy", pixels)
    for number in range(count):
        original = folder / "images" / f"class{labels[number % len(pixels)]}" / f"{number % len(pixels)}.{kind}"
        original.parent.mkdir(parents=True, exist_ok=True)
        if number < len(pixels):
            Image.fromarray(pixels[number]).save(original)
        else:
            os.link(original, original.with_stem(str(number)))


def settings(batch: int, **changes) -> dict:
    """A resolved model block with the schema's defaults where `changes` do not say otherwise."""
    resolved = resolve.resolve({"experiment": "bench", "models": {"small_cnn": {"batch_size": batch, **changes}}})
    return resolve.training_slice(resolved, "small_cnn") | {"epochs": 10_000}


class Case:
    """One network, size and batch size; its methods make contenders: functions from a number of steps to images."""

    def __init__(self, name: str, folder: Path, device: str, workers: int, share: float, rounds: int):
        self.name, self.rounds, self.folder, self.workers = name, rounds, folder, workers
        self.architecture, self.size, self.batch, steps, kind = CASES[name]
        self.steps, self.device = max(2, round(steps * share)), torch.device(device)
        self.count = self.steps * self.batch  # an epoch of ours is a round
        self.pixels, self.labels = make_images(self.count, self.size)
        needed = (rounds + 1) * (self.steps + self.drained) + 4 * self.drained
        write_files(folder, self.pixels, self.labels, kind, needed * self.batch)

    @property
    def drained(self) -> int:
        """Steps that empty a loader's queue, which fills while others run."""
        return 2 * self.workers + 1

    def model(self) -> torch.nn.Module:
        torch.manual_seed(0)
        shape = {"in_channels": 3, "n_classes": CLASSES, "image_size": (self.size, self.size)}
        return registry.build(self.architecture, **shape, options={})

    def ceiling(self):
        model = self.model().to(self.device, memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        images = torch.randn(self.batch, 3, self.size, self.size, device=self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        targets = torch.arange(self.batch, device=self.device) % CLASSES
        precision = Precision("auto", self.device)

        def run(steps):
            for _ in range(steps):
                optimizer.zero_grad(set_to_none=True)
                with precision.forward():
                    loss = torch.nn.functional.cross_entropy(model(images), targets)
                precision.backward(loss)
                precision.step(optimizer)
            return steps * self.batch

        return run

    def ours(self, *, augmentation="strong", precision="auto", contiguous=False, by_image=False, mapped=False):
        """The real Loop; its steps are called as `Loop.run` calls them."""
        settled = settings(self.batch, augmentation=augmentation, precision=precision, selection="final")
        spec = {"architecture": self.architecture, "options": {}, "channels": 3, "task": "images"}
        spec |= {
            "image_size": [self.size] * 2,
            "store_size": [self.size] * 2,
            "classes": list(map(str, range(CLASSES))),
        }
        torch.manual_seed(0)
        classifier = network.Classifier(spec)
        classifier.set_statistics(torch.from_numpy(self.pixels[:64]))
        layout = torch.contiguous_format if contiguous else torch.channels_last
        classifier.to(self.device, memory_format=layout)
        with _changed(inputs, "IN_MEMORY_BYTES", 0 if mapped else 2**40):
            read = inputs.open_pixels(self.folder / "pixels.npy", self.device.type)
        ids = [f"{i:06}" for i in range(self.count)]
        learned = Subset(ids, np.arange(self.count), self.labels.astype(np.int64))
        nothing = Subset([], np.empty(0, np.int64), np.empty(0, np.int64))
        current = checkpoint.Checkpoint(self.folder / "work" / str(id(classifier)), {})
        trained = loop.Loop(
            Run("bench", 0, 0, settled, Code("", [])),
            classifier,
            Data(read, learned, nothing),
            checkpoint.Checkpoints(current, None),
            stop=SimpleNamespace(number=None),
            report=lambda **_: None,
            group=distributed.Group(),
        )

        def one_by_one(images, *arguments):
            return torch.cat([augment.augment(image[None], *arguments) for image in images])

        def run(_):
            with _changed(steps, "augment", one_by_one if by_image else augment.augment):
                trained._train_epoch()
            trained.state = State(epoch=trained.state.epoch + 1)
            return self.count

        return run

    def contenders(self, remedies: bool) -> dict:
        made = {"ceiling": self.ceiling(), "ours": self.ours(), "timm": timm_loop(self), "plain": plain_loop(self)}
        changes = {"bare": {"augmentation": "none"}, "bfloat16": {"precision": "bfloat16"}}
        for title, change in REMEDIES.items() if remedies else ():
            if change != "bfloat16" or self.device.type == "cpu":
                made[title] = self.ours(**changes.get(change, {change: True}))
        return made

    def measure(self, remedies: bool) -> dict[str, list[float]]:
        """Images per second of each contender in each round."""
        made, found, order = self.contenders(remedies), {}, random.Random(0)
        for number in range(self.rounds + 1):  # the first is warm-up
            for name in order.sample(sorted(made), len(made)):
                if name in READ_FILES:
                    made[name](self.drained)
                self.wait()
                started = time.perf_counter()
                images = made[name](self.steps)
                self.wait()
                if number:
                    found.setdefault(name, []).append(images / (time.perf_counter() - started))
            print(f"{self.name}: round {number} of {self.rounds}", flush=True)
        return {name: found[name] for name in made}

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


@contextlib.contextmanager
def _changed(module, name, value):
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks" / "training.md")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["small", "resnet18"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--share", type=float, default=1.0, help="of the steps of a round, for a quick look")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the loops that read files")
    parser.add_argument("--no-remedies", action="store_true")
    parser.add_argument("--no-fixed-cost", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    packages = versions.versions()
    parts = [(Path(__file__).parent / "training_header.md").read_text().rstrip() + "\n"]
    parts.append(
        f"Measured on {machine(options.device)}; torch {packages['torch']}, timm {packages['timm']}, "
        f"torchvision {torchvision.__version__}; {options.workers} workers for the loops that read files"
        + (f"; only {options.share:g} of the steps: a quick look, no measurement" if options.share < 1 else "")
        + ".\n"
    )
    for name in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            case = Case(name, Path(folder), options.device, options.workers, options.share, options.rounds)
            parts.append(table(case, case.measure(not options.no_remedies)))
            print(parts[-1], flush=True)
    if not options.no_fixed_cost:
        parts.append(fixed_cost.section(max(1, round(5 * options.share))))
        print(parts[-1])
    files.write_text(options.out, "\n".join(parts))


if __name__ == "__main__":
    main()
