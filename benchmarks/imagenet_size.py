"""The data and folds stages on as many rows as ImageNet has (`make bench-imagenet-size`), one page of figures.

The rows are made: grey images of 8 x 8 whose frequencies fall off as those of photographs do, a fiftieth of them copies
that are nearly equal, in 1,000 classes. All that follows is what the rules prepare_data, assign_folds and train_fold
call, apart from the reading of image files, which is measured on JPEGs in a folder.
"""

import argparse
import contextlib
import functools
import io
import math
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.fft import idctn
from sklearn.neighbors import NearestNeighbors

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from foldstack import tables  # noqa: E402
from foldstack.config.schema import load_schema  # noqa: E402
from foldstack.data import digest, duplicates, near, prepare, store  # noqa: E402
from foldstack.data.formats import imagefolder  # noqa: E402
from foldstack.data.formats.source import Source, table  # noqa: E402
from foldstack.data.intake import Intake  # noqa: E402
from foldstack.data.pixels import Prefetcher, open_pixels  # noqa: E402
from foldstack.files import read_json  # noqa: E402
from foldstack.folds import assign, split  # noqa: E402
from foldstack.training.seeding import balanced_order, epoch_order  # noqa: E402

FILES = {"samples": "samples.parquet", "pixels": "pixels.npy", "dataset": "dataset.json", "pairs": "duplicates.parquet"}
FILES |= {"quarantine": "quarantine.csv", "intake": "intake.json"}
PAGE = ROOT / "docs" / "benchmarks" / "imagenet-size.md"
BATCH = 256
THRESHOLD = 0.1  # the default of data.near_duplicates


class Measured:
    """Seconds and memory of each step, in the order in which they ended."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[float, float, float]] = {}

    @contextlib.contextmanager
    def step(self, name: str):
        peak, done = [_resident()], threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                peak[0] = max(peak[0], _resident())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        wall, cpu = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            figures = (time.monotonic() - wall, time.process_time() - cpu, max(peak[0], _resident()))
            done.set()
            watcher.join()
            before = self.rows.get(name, (0.0, 0.0, 0.0))
            self.rows[name] = (before[0] + figures[0], before[1] + figures[1], max(before[2], figures[2]))
            print(f"{name}: {figures[0]:.1f} s, {figures[1]:.1f} s CPU, {figures[2] / 2**30:.2f} GiB", flush=True)

    def of(self, function, name: str):
        @functools.wraps(function)
        def timed(*args, **kwargs):
            with self.step(name):
                return function(*args, **kwargs)

        return timed


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def made_images(count: int) -> np.ndarray:
    """(count, 8, 8, 1) uint8; amplitudes fall off with the frequency, as in photographs."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.mgrid[:8, :8])
    amplitude = np.where(frequency > 0, 1 / np.maximum(frequency, 1), 0)
    images = np.empty((count, 8, 8, 1), np.uint8)
    for start in range(0, count, 10_000):
        part = images[start : start + 10_000]
        drawn = idctn(rng.normal(size=(len(part), 8, 8)) * amplitude, axes=(1, 2), norm="ortho")
        part[..., 0] = np.clip(128 + 50 * drawn / drawn.std(), 0, 255)
    originals, copies = rng.choice(count, (2, count // 50), replace=False)
    images[copies] = np.clip(images[originals].astype(int) + rng.integers(-1, 2, (len(copies), 8, 8, 1)), 0, 255)
    return images


def made_source(count: int, classes: int) -> Source:
    names = [f"n{i % classes:08}/n{i % classes:08}_{i}.JPEG" for i in range(count)]
    rows = table(sample_id=names, split="train", label=[name[:9] for name in names], source=names)
    return Source("images", rows, list(made_images(count)[:, None]), False, Intake())


def config(**given) -> dict:
    """The section `data` with its defaults."""
    properties = load_schema()["properties"]["data"]["properties"]
    return {key: node["default"] for key, node in properties.items()} | given


@contextlib.contextmanager
def each_part_timed(measured: Measured):
    """Within it, the parts of `prepare` are measured one by one."""
    parts = [
        (prepare, "write_pixels", "describe and store"),
        (duplicates, "find_near", "near duplicates"),
        (prepare, "cut", "test split"),
        (prepare, "_summary", "counts and digest"),
        (prepare, "write_samples", "samples.parquet"),
        (prepare, "_account", "intake"),
        (prepare, "_samples", "tables of samples and duplicates"),
        (duplicates, "table", "tables of samples and duplicates"),
        (duplicates, "counts", "tables of samples and duplicates"),
        (duplicates, "two_labels", "tables of samples and duplicates"),
        (duplicates, "linked", "tables of samples and duplicates"),
    ]
    kept = [(module, name, getattr(module, name)) for module, name, _ in parts]
    for module, name, title in parts:
        setattr(module, name, measured.of(getattr(module, name), title))
    try:
        yield
    finally:
        for module, name, function in kept:
            setattr(module, name, function)


def stages(count: int, classes: int, folder: Path, threads: int) -> Measured:
    """Every step on `count` made rows."""
    measured = Measured()
    with measured.step("(making the rows)"):
        sources = [made_source(count, classes)]
    paths = {key: folder / name for key, name in FILES.items()}
    usual = prepare.read_source
    prepare.read_source = lambda _: sources.pop()
    try:
        with measured.step("prepare_data, whole"), each_part_timed(measured):
            prepare.prepare(config(format="npz", path=".", test_fraction=0.04), **paths, threads=threads)
    finally:
        prepare.read_source = usual
    with measured.step("assign_folds, whole"):
        with measured.step("read and check the tables"):
            samples, dataset = tables.read_samples(paths["samples"]), read_json(paths["dataset"])
            digest.check_data(samples, dataset)
            pairs = tables.read_duplicates(paths["pairs"])
        spec = {"strategy": "stratified", "n_splits": 5, "inner_splits": 10, "seed": 0}
        with measured.step("folds, inner buckets, cautions"):
            folds, components, said = assign.assign(samples, dataset["classes"], pairs, **spec)
        with measured.step("summary of the folds"):
            assign.summarise(folds, samples, dataset, spec, components, said)
        tables.write_folds(folds, folder / "folds.parquet")
    assert len(pairs) >= count // 50
    with measured.step("split of one run"):
        ids = split.split_ids(folds, 0, "inner")[0]
    with measured.step("order of ten epochs"):
        for epoch in range(10):
            epoch_order(len(ids), 0, 0, epoch)
    with measured.step("order of one balanced epoch"):
        labels = samples.set_index("sample_id")["label"].loc[ids].to_numpy()
        balanced_order(labels, 0, 0, 0)
    return measured


def folder_of_files(count: int, classes: int, folder: Path) -> Measured:
    """Reading a folder's layout: empty files in class folders."""
    measured = Measured()
    for i in range(classes):
        (folder / f"n{i:08}").mkdir(parents=True)
    for i in range(count):
        (folder / f"n{i % classes:08}" / f"n{i % classes:08}_{i}.JPEG").touch()
    with measured.step("layout of the folder"):
        assert len(imagefolder.read(folder).items) == count
    return measured


def against_brute_force(count: int) -> str:
    """The search for nearly equal images beside scikit-learn's brute force, which this search took the place of."""
    images = made_images(count)
    low = near.low_frequencies(images)
    cpu = time.process_time()
    pairs, _ = near.near_pairs(low, lambda rows: images[rows], THRESHOLD)
    ours = time.process_time() - cpu
    cpu, candidates = time.process_time(), []
    search = NearestNeighbors(radius=THRESHOLD + near.ROUNDING, algorithm="brute").fit(low)
    for start in range(0, count, 2048):
        close = search.radius_neighbors(low[start : start + 2048], return_distance=False)
        candidates += [(start + i, j) for i, row in enumerate(close) for j in row.tolist() if start + i < j]
    theirs = time.process_time() - cpu
    flat = near.descriptors(images[np.array(candidates).ravel()]).reshape(len(candidates), 2, -1)
    same = np.linalg.norm(flat[:, 0] - flat[:, 1], axis=1) <= THRESHOLD
    assert set(map(tuple, pairs.tolist())) == {pair for pair, within in zip(candidates, same, strict=True) if within}
    return (
        f"Among {count:,} rows, {ours:.1f} CPU seconds; comparing all with all (scikit-learn) takes {theirs:.1f} and "
        f"finds the same {len(pairs):,} pairs."
    )


def jpegs(count: int, size: int, folder: Path) -> Path:
    """A folder of made JPEGs in ten classes."""
    rng = np.random.default_rng(0)
    for i in range(count):
        low = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
        noisy = np.asarray(low).astype(np.int16) + rng.integers(-12, 12, (size, size, 1))
        path = folder / f"c{i % 10}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=88)
    return folder


def threads_in_pairs(count: int, size: int, folder: Path, pairs: int = 6) -> str:
    """A row of a table: reading JPEGs by one thread and by two, in turn."""
    files = sorted(jpegs(count, size, folder).rglob("*.jpg"))
    side = min(size, store.USUAL)
    seconds = []
    for threads in [1, *[1, 2] * pairs]:
        started = time.monotonic()
        wanted = store.Geometry(side, side, 3, "crop")
        for _ in store.read_samples(files, wanted, keep_bytes=True, describe=True, threads=threads):
            pass
        seconds.append(time.monotonic() - started)
    one, two = seconds[1::2], seconds[2::2]
    ratios = [first / second for first, second in zip(one, two, strict=True)]
    speeds = [f"{count / statistics.median(each):,.0f}" for each in (one, two)]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| {count:,} of {size} px | {' | '.join(speeds)} | {spread} |"


def encoded(count: int, size: int, folder: Path) -> list[str]:
    """Rows of a table: JPEGs prepared as pixels and as they are, and how fast batches are read of either."""
    images = jpegs(count, size, folder / "images")
    lines = []
    for kind in ("pixels", "encoded"):
        paths = {key: folder / kind / name for key, name in FILES.items()}
        started, cpu = time.monotonic(), time.process_time()
        given = config(format="imagefolder", path=str(images), store=kind)
        with contextlib.redirect_stdout(io.StringIO()):
            prepare.prepare(given, **paths, threads=2)
        spent = f"{time.monotonic() - started:.0f} | {time.process_time() - cpu:.0f}"
        speeds = [f"{_speed(paths['pixels'], threads):,.0f}" for threads in (1, 2)]
        lines.append(f"| `{kind}` | {spent} | {paths['pixels'].stat().st_size / 1e6:,.0f} | {' | '.join(speeds)} |")
    return lines


def _speed(path: Path, threads: int) -> float:
    """Images a second of batches in random order, read as a run reads them."""
    pixels = open_pixels(path, threads)
    batches = np.array_split(np.random.default_rng(0).permutation(len(pixels))[: 16 * BATCH], 16)
    read = Prefetcher(pixels) if not isinstance(pixels, np.ndarray) else pixels.__getitem__
    for _ in range(2):  # the first time from the disk
        started = time.monotonic()
        for batch in batches:
            read(batch)
    return sum(map(len, batches)) / (time.monotonic() - started)


def page(sizes: list[int], found: list[Measured], searched: str, read: list[str], stored: list[str], options) -> str:
    small, large = found
    lines = ["# As many rows as ImageNet", ""]
    lines += [
        f"The data and folds stages on {sizes[0]:,} and {sizes[1]:,} made rows in {options.classes:,} classes: grey "
        "images of 8 × 8 whose frequencies fall off as in photographs, a fiftieth of them nearly equal copies. "
        "Everything but the decoding of image files is what the rules call. One run each, "
        f"{options.threads} threads, {platform.machine()}, {options.note}. Memory is the largest resident size of the "
        "process during the step. The exponent is that of the growth of CPU seconds between the two sizes: 1 is "
        "linear. The parts of a whole are measured within it.",
        "",
        f"| step | s, {sizes[0]:,} rows | CPU s | GiB | s, {sizes[1]:,} rows | CPU s | GiB | exponent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, (wall, cpu, memory) in large.rows.items():
        before = small.rows[name]
        grown = f"{math.log(cpu / before[1]) / math.log(sizes[1] / sizes[0]):.2f}" if before[1] > 0.2 else ""
        cells = [f"{before[0]:.1f}", f"{before[1]:.1f}", f"{before[2] / 2**30:.2f}"]
        cells += [f"{wall:.1f}", f"{cpu:.1f}", f"{memory / 2**30:.2f}", grown]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "## Nearly equal images", "", searched, "", "## Reading JPEGs by two threads", ""]
    lines += [
        "Each file is read, decoded, cut to 224 px where it is larger, hashed and described; six pairs of one thread "
        "and two. What Python itself does for an image runs on one core at a time, so the smallest gain nothing.",
        "",
        "| JPEGs | images/s, 1 thread | 2 threads | ratio, median (and range) |",
        "|---|---|---|---|",
        *read,
    ]
    lines += ["", "## JPEGs kept as they are", ""]
    lines += [
        f"{options.jpegs:,} JPEGs of {options.size} px, prepared as pixels and with `data.store: encoded`; then "
        f"batches of {BATCH} in random order, as a run reads them, the files in memory. A run reads the next batch "
        "while it trains on one.",
        "",
        "| store | prepare, s | CPU s | MB | images/s, 1 thread | 2 threads |",
        "|---|---|---|---|---|---|",
        *stored,
        "",
        'To repeat: `make bench-imagenet-size`, smaller with `ARGS="--rows 10000 20000 --jpegs 500"`.',
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs=2, type=int, default=[128_000, 1_280_000])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jpegs", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--note", default="no GPU")
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    found = []
    for count in options.rows:
        with tempfile.TemporaryDirectory() as name:
            made = stages(count, options.classes, Path(name), options.threads)
            made.rows |= folder_of_files(count, options.classes, Path(name) / "files").rows
            found.append(made)
            shutil.rmtree(Path(name) / "files")
    searched = against_brute_force(min(options.rows[0], 100_000))
    with tempfile.TemporaryDirectory() as name:
        counts = {64: options.jpegs, 256: options.jpegs // 4, 512: options.jpegs // 10}
        read = [threads_in_pairs(count, size, Path(name) / str(size)) for size, count in counts.items()]
        stored = encoded(options.jpegs, options.size, Path(name))
    options.out.write_text(page(options.rows, found, searched, read, stored, options), encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
