"""Feed Foldstack thousands of broken inputs and count what becomes of them (`make fuzz`).

Each input is made from its own number alone, so `SEED` and the number repeat it. Every one must be accepted with the
right shape, refused with one sentence, or quarantined with a reason; anything else, or more than TIME_LIMIT seconds, is
a crash, is printed, and makes the exit code 1. The figures go to docs/benchmarks/fuzz.md.
"""

import argparse
import collections
import copy
import io
import platform
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests" / "helpers")]

from data_config import section  # noqa: E402

from foldstack import tables  # noqa: E402
from foldstack.config import resolve  # noqa: E402
from foldstack.data import prepare  # noqa: E402
from foldstack.data.decode import Geometry, UndecodableError, decode  # noqa: E402
from foldstack.data.formats import csv_table, npz  # noqa: E402
from foldstack.errors import FoldstackError  # noqa: E402
from foldstack.reruns import sources  # noqa: E402

SEED = 0
TIME_LIMIT = 20  # seconds for one input
DATA = section("data", test_fraction=0.3)
NAMES = [
    "a b",
    "it's",
    'say "hi"',
    "ünï",
    "new\nline",
    "tab\t",
    "-rf",
    "$HOME",
    "*",
    "日本",
    "e\u0301",
    "\\",
    ",",
    "%s",
]
FORMS = ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PCX", "JPEG2000", "PPM", "TGA", "SGI"]


def picture(rng: random.Random, size=None) -> Image.Image:
    width, height = size or (rng.randint(1, 24), rng.randint(1, 24))
    return Image.frombytes("RGB", (width, height), rng.randbytes(width * height * 3))


def encoded(image: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed, put in, taken out, cut off; now and then untouched."""
    out = bytearray(content)
    for _ in range(rng.choice([0, 1, 1, 2, 4, 16])):
        at = rng.randrange(len(out) or 1)
        match rng.randrange(4):
            case 0 if out:
                out[at] = rng.randrange(256)
            case 1:
                out[at:at] = rng.randbytes(rng.randint(1, 9))
            case 2:
                del out[at : at + rng.randint(1, 9)]
            case _:
                out[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
    return bytes(out[: rng.randrange(len(out) + 1)] if rng.random() < 0.2 else out)


def image_bytes(rng: random.Random, folder: Path) -> str:
    wanted = Geometry(rng.randint(1, 9), rng.randint(1, 9), rng.choice([1, 3]), rng.choice(["crop", "stretch", "pad"]))
    try:
        pixels = decode(mutated(encoded(picture(rng), rng.choice(FORMS)), rng), wanted)
    except UndecodableError as error:
        if not str(error).strip():
            raise
        return "quarantined"
    assert pixels.shape == (wanted.height, wanted.width, wanted.channels)
    assert pixels.dtype == np.uint8
    return "accepted"


def odd_image(rng: random.Random) -> bytes:
    """A valid image of an unusual kind, or something that is none."""
    image, size = picture(rng, (8, 8)), (8, 8)
    deep = Image.fromarray(np.frombuffer(rng.randbytes(128), np.uint16).reshape(8, 8))
    exif = Image.Exif()
    exif[0x0112] = rng.randint(0, 9)
    kinds = [
        lambda: encoded(image, "PNG"),
        lambda: encoded(image.convert("CMYK"), "TIFF"),
        lambda: encoded(image.convert("CMYK"), "JPEG"),
        lambda: encoded(deep, rng.choice(["PNG", "TIFF"])),
        lambda: encoded(image.convert("P"), "PNG", transparency=rng.randrange(4)),
        lambda: encoded(image, "GIF", save_all=True, append_images=[picture(rng, size)]),
        lambda: encoded(image, "JPEG", exif=exif),
        lambda: encoded(image.convert("1"), "PNG"),
        lambda: encoded(image.convert("LA"), "PNG"),
        lambda: b"P6 60000 60000 255\n" + bytes(99),
        lambda: b"",
        lambda: rng.randbytes(50),
        lambda: encoded(image, "PNG")[:40],
    ]
    return rng.choice(kinds)()


def whole_stage(rng: random.Random, folder: Path) -> str:
    """A folder of odd images under odd names through the whole data stage."""
    total = 0
    for label in rng.sample(NAMES, 2):
        (folder / "in" / label).mkdir(parents=True)
        for i in range(rng.randint(4, 8)):
            (folder / "in" / label / f"{rng.choice(NAMES)}{i}.png").write_bytes(odd_image(rng))
            total += 1
    data = DATA | {"format": "imagefolder", "path": str(folder / "in"), "max_quarantined": 0.6}
    sources.digest(data)
    out = {name: folder / name for name in ("samples", "pixels", "dataset", "quarantine", "pairs", "intake")}
    summary = prepare.prepare(data, **out)
    samples, left_out = tables.read_samples(out["samples"]), pd.read_csv(out["quarantine"])
    pixels = np.load(out["pixels"], allow_pickle=False)
    assert pixels.shape == (len(samples), *summary["image_size"], summary["channels"])
    assert len(samples) + len(left_out) == total
    assert left_out["reason"].str.strip().all()
    return "quarantined" if len(left_out) else "accepted"


def npz_content(rng: random.Random, mistakes: bool) -> dict:
    count = rng.randint(2, 6)
    generator = np.random.default_rng(rng.randrange(2**32))
    arrays = {"x": generator.integers(0, 256, (count, 4, 6), dtype=np.uint8), "y": np.arange(count) % 2}
    odd = [
        np.zeros(count),
        np.zeros((count, 4, 6, 2), np.uint8),
        np.zeros(0, np.uint8),
        np.array(7),
        np.array(["a", "b"]),
        np.array([None, {}], dtype=object),
        np.full((count, 1, 1), 9, np.uint8),
        np.array(["../x"] * count),
        np.arange(count) - 1,
        np.zeros((2,) * 9, np.uint8),
        np.zeros(count, "datetime64[s]"),
        np.zeros(count, [("a", "i4")]),
        np.array([f"s{i}" for i in range(count)]),
    ]
    for _ in range(rng.randint(1, 2) if mistakes else 0):
        key = rng.choice(["x", "y", "id", "group", "fold", "xa", "xb"])
        if rng.random() < 0.3:
            arrays.pop(key, None)
        else:
            arrays[key] = rng.choice(odd)
    return arrays


def read_npz(file: Path, rng: random.Random) -> str:
    task = rng.choice(["images", "pairs"])
    source = npz.read(file, task=task)
    assert len(source.rows) == len(source.items)
    assert all(item.dtype == np.uint8 and len(item) == 1 + (task == "pairs") for item in source.items)
    return "accepted"


def npz_bytes(rng: random.Random, folder: Path) -> str:
    stream = io.BytesIO()
    rng.choice([np.savez, np.savez_compressed])(stream, **npz_content(rng, mistakes=False))
    (folder / "a.npz").write_bytes(mutated(stream.getvalue(), rng))
    return read_npz(folder / "a.npz", rng)


def npz_arrays(rng: random.Random, folder: Path) -> str:
    np.savez(folder / "a.npz", **npz_content(rng, mistakes=True))
    return read_npz(folder / "a.npz", rng)


def csv_bytes(rng: random.Random, folder: Path) -> str:
    rows = [[f"{rng.choice(NAMES)}{i}.png", rng.choice("ab"), "g", "train", "", str(i % 2)] for i in range(5)]
    frame = pd.DataFrame(rows, columns=["path", "label", "group", "split", "caption", "fold"])
    content = frame.to_csv(index=False).encode(rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"]), "replace")
    (folder / "a.csv").write_bytes(mutated(content, rng))
    (folder / rows[0][0]).touch()
    sources.digest(DATA | {"path": str(folder / "a.csv"), "format": "csv"})
    source = csv_table.read(folder / "a.csv")
    assert set(source.rows["split"]) <= {"train", "test"}
    assert not any(".." in Path(name).parts for name in source.rows["sample_id"])
    return "accepted"


VALID = {
    "experiment": "fuzz",
    "data": {"format": "digits", "image_size": [8, 8], "test_fraction": 0.2},
    "folds": {"strategy": "stratified", "n_splits": 3},
    "seeds": [0, 1],
    "training": {"epochs": 3, "lr": "1e-3", "early_stopping": None},
    "models": {"cnn": {"architecture": "small_cnn", "options": {"width": 4}}, "resnet18": {"seeds": [3]}},
}
ODD = [None, True, -1, 0, 10**30, 1e308, float("nan"), float("inf"), "", "é\n", "1e-3", "../x", "a\0", [], [[]], {}]
ODD += [{"a": 1}, {1: 2}, {None: None}, b"x", [0, 0], "x" * 5000]


def configs(rng: random.Random, folder: Path) -> str:
    raw = copy.deepcopy(VALID)
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        block = raw
        while rng.random() < 0.7:
            inner = [value for value in block.values() if isinstance(value, dict)]
            if not inner:
                break
            block = rng.choice(inner)
        key = rng.choice([*block, "lr", "epoch", 3, "options", "path"])
        match rng.randrange(3):
            case 0:
                block.pop(key, None)
            case 1:
                block[key] = copy.deepcopy(rng.choice(ODD))
            case _:
                block[str(key)[:-1]] = block.pop(key, 1)
    resolve.canonical(resolve.resolve(raw))
    return "accepted"


KINDS = {
    "mutated image bytes": (image_bytes, 6000),
    "folders of odd images and names, whole data stage": (whole_stage, 300),
    "mutated NPZ bytes": (npz_bytes, 3000),
    "NPZ with wrong arrays": (npz_arrays, 2000),
    "mutated CSV bytes": (csv_bytes, 2000),
    "configs with mistakes": (configs, 2000),
}


class TimeoutReachedError(Exception):
    pass


def _stop(*_):
    raise TimeoutReachedError(f"more than {TIME_LIMIT} s")


def outcome(kind: str, number: int, folder: Path) -> tuple[str, str]:
    """(accepted | refused | quarantined | crashed, words) of one input."""
    make = KINDS[kind][0]
    rng = random.Random(f"{SEED} {kind} {number}")
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(TIME_LIMIT)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as own, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(rng, Path(own)), ""
    except FoldstackError as error:
        words = str(error)
        return ("refused" if words.strip() and "\n" not in words else "crashed"), words
    except Exception:
        return "crashed", traceback.format_exc()
    finally:
        signal.alarm(0)


def fuzz(kind: str, count: int, folder: Path) -> tuple[collections.Counter, list[str]]:
    """Counts of the outcomes of inputs 0 to count - 1 of a kind, and what the crashed ones said."""
    counts, crashes = collections.Counter(), []
    for number in range(count):
        result, words = outcome(kind, number, folder)
        counts[result] += 1
        if result == "crashed":
            crashes.append(f"{kind}, number {number}: {words}")
    return counts, crashes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, metavar="N", help="inputs of a kind; by default thousands")
    options = parser.parse_args()
    print(f"seed {SEED}")
    lines, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        sources.CACHE_FOLDER = Path(folder) / "cache"
        for kind, (_, count) in KINDS.items():
            count = min(count, options.most or count)
            start = time.monotonic()
            counts, crashes = fuzz(kind, count, Path(folder))
            for words in crashes[:5]:
                print(words, file=sys.stderr)
            failed = failed or bool(crashes)
            cells = [counts[name] for name in ("accepted", "quarantined", "refused", "crashed")]
            lines.append(f"| {kind} | {count} | " + " | ".join(map(str, cells)) + " |")
            print(lines[-1], f"{time.monotonic() - start:.0f} s", flush=True)
    page = ROOT / "docs" / "benchmarks" / "fuzz.md"
    page.write_text(
        "# Broken inputs\n\nWritten by `make fuzz` (`tests/tools/fuzz.py`), which makes every input from a fixed seed "
        f"({SEED}); Python {platform.python_version()}, NumPy {np.__version__}, Pillow {Image.__version__}.\n\n"
        "*Accepted*: read, with the right shape and type. *Quarantined*: images left out with a reason, the others "
        "read. *Refused*: one\nsentence that names the file, key or row. *Crashed*: any other exception, a message of "
        f"more than one line, a wrong shape,\nor more than {TIME_LIMIT} s.\n\n"
        "| kind | inputs | accepted | quarantined | refused | crashed |\n|---|---|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n",
        encoding="utf-8",
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
