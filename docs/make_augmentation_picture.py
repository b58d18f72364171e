"""Draw docs/how-to/augmentation.png: each preset on a digit and a photograph, both of scikit-learn (`make docs`)."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits, load_sample_image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

import torch  # noqa: E402

from foldstack.training.augment import PRESETS, augment, recipe  # noqa: E402

SIDE, COLUMNS, LEFT = 64, 9, 110


def samples() -> dict[str, torch.Tensor]:
    """Float images (3, SIDE, SIDE) in 0..1."""
    digit = load_digits().images[7].astype(np.uint8) * 16
    photo = load_sample_image("flower.jpg")[50:410, 150:510]
    found = {"digit": Image.fromarray(digit).convert("RGB"), "photo": Image.fromarray(photo)}
    size = (SIDE, SIDE)
    return {
        name: torch.from_numpy(np.array(image.resize(size, Image.Resampling.BICUBIC))).permute(2, 0, 1).float() / 255
        for name, image in found.items()
    }


def main() -> None:
    rows = [(name, ranges) for name, ranges in PRESETS.items() if ranges]
    rows.append(("crop, blur,\nnoise", recipe("none", {"crop": 0.3, "blur": 0.5, "noise": 0.15})))
    rows.append(("trivialaugment", recipe("none", {"policy": "trivialaugment"})))
    kinds = samples()
    picture = Image.new("RGB", (LEFT + COLUMNS * SIDE, len(rows) * 2 * SIDE), "white")
    draw = ImageDraw.Draw(picture)
    for number, (name, ranges) in enumerate(rows):
        draw.text((6, number * 2 * SIDE + SIDE - 8), name, fill="black")
        for below, image in enumerate(kinds.values()):
            torch.manual_seed(number)
            changed = augment(image.expand(COLUMNS - 1, -1, -1, -1), ranges)
            for column, tile in enumerate([image, *changed]):
                pixels = (tile.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
                picture.paste(Image.fromarray(pixels), (LEFT + column * SIDE, (2 * number + below) * SIDE))
    draw.line([(LEFT + SIDE, 0), (LEFT + SIDE, picture.height)], fill="white", width=3)
    picture.quantize(128).save(ROOT / "docs" / "how-to" / "augmentation.png", optimize=True)


if __name__ == "__main__":
    main()
