"""`digits` and `digits_pairs`: 1,797 real handwritten digits, 8 × 8 px, that come with scikit-learn.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (test part).
"""

import itertools

import numpy as np

from foldstack.data.formats.source import Source, table
from foldstack.data.intake import Intake

BLOCK = 4


def read_digits() -> Source:
    """Ten classes, `0` to `9`."""
    images, digits = _load()
    ids = [f"digit/{i:04d}" for i in range(len(images))]
    labels = [str(digit) for digit in digits]
    rows = table(sample_id=ids, split="train", label=labels, source=ids)
    return Source("images", rows, list(images[:, None]), False, Intake("samples"))


def read_pairs(seed: int) -> Source:
    """Two classes, `left_larger` and `right_larger`: which of two digits is the larger?

    The images are shuffled into blocks of four; each ordered pair of unequal digits within a block is a sample, and the
    block is its group, so that no image is in two folds.
    """
    images, digits = _load()
    order = np.random.default_rng(seed).permutation(len(images))
    ids, labels, groups, items = [], [], [], []
    for number, start in enumerate(range(0, len(order), BLOCK)):
        for left, right in itertools.permutations(order[start : start + BLOCK].tolist(), 2):
            if digits[left] == digits[right]:
                continue
            ids.append(f"pair/{left:04d}-{right:04d}")
            labels.append("left_larger" if digits[left] > digits[right] else "right_larger")
            groups.append(f"block{number:03d}")
            items.append(images[[left, right]])
    rows = table(sample_id=ids, split="train", label=labels, group=groups, source=ids)
    return Source("pairs", rows, items, False, Intake("samples"))


def _load() -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (1797, 8, 8, 1), and digits, int64 (1797,)."""
    from sklearn.datasets import load_digits  # slow to import, and only this format needs it

    data = load_digits()
    return np.rint(data.images[..., None] * 255 / 16).astype(np.uint8), data.target
