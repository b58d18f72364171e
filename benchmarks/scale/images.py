"""JPEGs with class structure, laid out as TinyImageNet is downloaded: python images.py FOLDER CLASSES TRAIN VAL [SIDE].

A class is three gratings of its own direction, frequency and colour; five classes that follow each other share most of
them, so that they are easily confused. An image draws phases, contrast, brightness and noise.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIBLINGS = 5  # classes that look alike
NOISE = 28.0  # standard deviation of a pixel's noise, in grey levels of 255
GRATINGS = 3
BLOCK = 500  # images that are drawn at once


def wnid(number: int) -> str:
    return f"n{number + 1:08d}"


def make(folder: Path, classes: int, train: int, val: int, side: int = 64, seed: int = 0) -> None:
    """Write `train/<wnid>/images/*.JPEG`, `val/images/*.JPEG` with `val_annotations.txt`, wnids.txt and words.txt.

    Args:
        train, val: images in all, spread evenly over the classes.
    """
    looks = _looks(classes, seed)
    annotations = []
    (folder / "val" / "images").mkdir(parents=True)
    for number in range(classes):
        name = wnid(number)
        own = folder / "train" / name / "images"
        own.mkdir(parents=True)
        n_train, n_val = (count // classes + (number < count % classes) for count in (train, val))
        draws = np.random.default_rng([seed, number])
        names = [f"{name}_{i}.JPEG" for i in range(n_train)]
        boxes = "".join(f"{file}\t0\t0\t{side - 1}\t{side - 1}\n" for file in names)
        (folder / "train" / name / f"{name}_boxes.txt").write_text(boxes)
        paths = [own / file for file in names]
        for _ in range(n_val):
            file = f"val_{len(annotations)}.JPEG"
            annotations.append(f"{file}\t{name}\t0\t0\t{side - 1}\t{side - 1}\n")
            paths.append(folder / "val" / "images" / file)
        for start in range(0, len(paths), BLOCK):
            part = paths[start : start + BLOCK]
            for path, pixels in zip(part, _images(looks[number], len(part), side, draws), strict=True):
                path.write_bytes(_jpeg(pixels))
    (folder / "val" / "val_annotations.txt").write_text("".join(annotations))
    (folder / "wnids.txt").write_text("".join(f"{wnid(number)}\n" for number in range(classes)))
    (folder / "words.txt").write_text("".join(f"{wnid(number)}\tmade class {number}\n" for number in range(classes)))


def _looks(classes: int, seed: int) -> np.ndarray:
    """(classes, GRATINGS, 6): cycles across and down the image, red, green, blue, and the phase's mean."""
    draws = np.random.default_rng(seed)
    families = draws.normal(size=(-(-classes // SIBLINGS), GRATINGS, 6))
    own = 0.45 * draws.normal(size=(classes, GRATINGS, 6))
    looks = families[np.arange(classes) // SIBLINGS] + own
    return (looks * [2.5, 2.5, 26, 26, 26, 1]).astype(np.float32)


def _images(look: np.ndarray, count: int, side: int, draws: np.random.Generator) -> np.ndarray:
    """uint8 (count, side, side, 3)."""
    steps = np.arange(side, dtype=np.float32) / side * 2 * np.pi
    phases = (look[:, 5] + draws.normal(0, 0.9, (count, GRATINGS))).astype(np.float32)
    contrast = draws.uniform(0.6, 1.2, (count, 1, 1, 1)).astype(np.float32)
    cycles = look[None, :, :2] * draws.uniform(0.9, 1.1, (count, GRATINGS, 1)).astype(np.float32)
    across = np.exp(1j * cycles[:, :, 0, None] * steps).astype(np.complex64)
    down = np.exp(1j * (cycles[:, :, 1, None] * steps + phases[..., None])).astype(np.complex64)
    # cos(a x + b y + phase) as the real part of a product: few exponentials instead of one for each pixel
    waves = np.einsum("ngx,ngy,gc->nyxc", across, down, look[:, 2:5].astype(np.complex64), optimize=True).real
    noise = draws.standard_normal((count, side, side, 3), dtype=np.float32)
    pixels = waves * contrast + noise * NOISE + draws.uniform(90, 165, (count, 1, 1, 3)).astype(np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _jpeg(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80)
    return stream.getvalue()


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:]))
