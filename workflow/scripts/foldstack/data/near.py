"""Images that are nearly equal: one photo saved twice, in another quality, size or brightness.

An image's descriptor is its pixels at 32 x 32 or less (means of areas), less their mean, divided by their norm; two
images are compared by the Euclidean distance of their descriptors, from 0 (equal but for brightness and contrast) to 2.
The distance is the root mean square difference of the pixels as a share of their standard deviation: 0.1 means that
they differ by a tenth of the contrast.

Pairs are searched for by the low frequencies of the descriptor (as in the perceptual hash pHash: C. Zauner,
Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). An orthonormal cosine transform keeps
distances, and leaving coefficients out only shortens them, so the search misses no pair; then each candidate is
measured on its whole descriptor.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.fft import dct

from foldstack.data.close_pairs import close_pairs
from foldstack.errors import FoldstackError
from foldstack.jobs.progress import stage, steps

SIDE = 32  # px
LOW = 8  # frequencies along each axis
FLAT = 4.0  # grey levels: an image with a lower standard deviation has only noise to compare
CHUNK = 256  # images at a time
CHUNK_BYTES = 64 * 2**20  # of images at a time
MOST_PAIRS = 20  # per image, on average
ROUNDING = 1e-3  # of a distance of low frequencies
FEW = 8  # NumPy adds up to so many numbers one after another


def near_pairs(
    low: np.ndarray, read: Callable[[np.ndarray], np.ndarray], threshold: float, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of images whose distance is at most `threshold`.

    Args:
        low: (N, F) float32, as `low_frequencies` gives them.
        read: gives the images at positions (K,) as uint8 (K, H, W, C); called from several threads.
        threads: they do not change the result.

    Returns:
        (pairs, distances): (P, 2) positions, the smaller first, sorted; (P,) float64.

    Raises:
        FoldstackError: there are more than 20 N pairs.
    """

    def measure(two: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(np.subtract(*(descriptors(read(two[:, i])) for i in (0, 1)))).sum(axis=(1, 2, 3)))

    kept = np.flatnonzero(low.any(axis=1))
    candidates = kept[_candidates(low[kept], threshold)]
    step = min(max(CHUNK_BYTES // read(np.arange(min(len(low), 1))).nbytes, 1), CHUNK)
    chunks = [candidates[start : start + step] for start in range(0, len(candidates), step)]
    with ThreadPoolExecutor(threads) as pool:
        apart = [np.empty(0), *steps(pool.map(measure, chunks), "measuring nearly equal images", len(chunks))]
    distances = np.concatenate(apart)
    return candidates[distances <= threshold], distances[distances <= threshold]


def low_frequencies(images: np.ndarray) -> np.ndarray:
    """(K, 64 or less) float32 from uint8 (K, H, W, C): those of the mean of a descriptor's channels."""
    unit = descriptors(images)
    grey = unit.sum(axis=-1, dtype=np.float32) / np.float32(np.sqrt(unit.shape[-1]))
    down, across = (_cosines(size) for size in grey.shape[1:])
    return (down @ grey @ across.T).reshape(len(unit), -1)


@functools.cache
def _cosines(size: int) -> np.ndarray:
    """(LOW or less, size) float32: rows of the orthonormal cosine transform."""
    return dct(np.eye(size), axis=0, norm="ortho")[:LOW].astype(np.float32)


def descriptors(images: np.ndarray) -> np.ndarray:
    """(K, h, w, C) float64 of mean 0 and norm 1, from uint8 (K, H, W, C); zeros for an image without contrast."""
    small = _reduced(_reduced(images, 1), 2).astype(np.float64)
    centred = small - small.mean(axis=(1, 2, 3), keepdims=True)
    spread = centred.std(axis=(1, 2, 3), keepdims=True)
    return np.where(spread < FLAT, 0, centred / np.maximum(spread, FLAT)) / np.sqrt(centred[0].size)


def _reduced(images: np.ndarray, axis: int) -> np.ndarray:
    """Means of areas, so that the axis has at most SIDE entries."""
    size = images.shape[axis]
    if size <= SIDE:
        return images
    starts = np.arange(SIDE) * size // SIDE
    counts = np.diff(np.append(starts, size))
    shaped = counts.reshape([-1 if i == axis else 1 for i in range(images.ndim)])
    if counts.max() > FEW:
        return np.add.reduceat(images, starts, axis=axis, dtype=np.float64) / shaped
    # Sums whole slices: faster than reduceat, and in its order, which adds the first number last.
    first = images.take(starts, axis)
    rest = np.zeros(first.shape, np.uint16 if images.dtype == np.uint8 else np.float64)
    for i in range(1, counts.max()):
        longer = np.flatnonzero(counts > i)
        place = (slice(None),) * axis + (slice(None) if len(longer) == SIDE else longer,)
        rest[place] = rest[place] + images.take(starts[longer] + i, axis)
    return (first + rest) / shaped


def _candidates(low: np.ndarray, threshold: float) -> np.ndarray:
    """(P, 2) sorted positions of all pairs within `threshold`, and of some a little beyond."""
    found, total = [np.empty((0, 2), np.int64)], 0
    with stage("comparing images", len(low)) as step:
        for pairs, compared in close_pairs(low, threshold + ROUNDING):
            found.append(pairs)
            total += len(pairs)
            if total > MOST_PAIRS * len(low):
                raise FoldstackError(
                    f"data.near_duplicates {threshold:g} finds more than {MOST_PAIRS * len(low)} pairs of nearly equal "
                    f"images among {len(low)}; lower it, or set it to 0 to keep only identical images together."
                )
            step(compared)
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
