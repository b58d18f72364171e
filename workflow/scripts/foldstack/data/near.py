"""Images that are nearly equal: one photo saved twice, in another quality, size or brightness.

An image's descriptor is its pixels at 32 x 32 or less (means of areas), less their mean, divided by their norm; two
images are compared by the Euclidean distance of their descriptors, from 0 (equal but for brightness and contrast) to 2.
The distance is the root mean square difference of the pixels as a share of their standard deviation: 0.1 means that
they differ by a tenth of the contrast.

Pairs are searched for by the low frequencies of the descriptor (as in the perceptual hash pHash: C. Zauner,
Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). An orthonormal cosine transform keeps
distances, and leaving coefficients out only shortens them, so the search by scikit-learn misses no pair; then each
candidate is measured on its whole descriptor.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.fft import dctn
from sklearn.neighbors import NearestNeighbors

from foldstack.errors import FoldstackError

SIDE = 32  # px
LOW = 8  # frequencies along each axis
FLAT = 4.0  # grey levels: an image with a lower standard deviation has only noise to compare
CHUNK = 2048  # images at a time in the search
CHUNK_BYTES = 64 * 2**20  # of images at a time, where they are read
MOST_PAIRS = 20  # per image, on average


def near_pairs(read: Callable[[np.ndarray], np.ndarray], count: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of images whose distance is at most `threshold`.

    Args:
        read: gives the images at positions (K,) as uint8 (K, H, W, C).
        count: number of images N.

    Returns:
        (pairs, distances): (P, 2) positions, the smaller first, sorted; (P,) float64.

    Raises:
        FoldstackError: there are more than 20 N pairs.
    """
    step = min(max(CHUNK_BYTES // read(np.arange(1)).nbytes, 1), CHUNK)
    low = np.concatenate([_low_frequencies(descriptors(read(rows))) for rows in _chunks(np.arange(count), step)])
    kept = np.flatnonzero(low.any(axis=1))
    candidates = _candidates(low[kept], threshold)
    pairs, distances = [np.empty((0, 2), np.int64)], [np.empty(0)]
    for chosen in _chunks(candidates, step):
        two = kept[chosen]
        apart = np.sqrt(np.square(np.subtract(*(descriptors(read(two[:, i])) for i in (0, 1)))).sum(axis=(1, 2, 3)))
        pairs.append(two[apart <= threshold])
        distances.append(apart[apart <= threshold])
    return np.concatenate(pairs), np.concatenate(distances)


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
    counts = np.diff(np.append(starts, size)).reshape([-1 if i == axis else 1 for i in range(images.ndim)])
    return np.add.reduceat(images, starts, axis=axis, dtype=np.float64) / counts


def _low_frequencies(unit: np.ndarray) -> np.ndarray:
    """(K, 64 or less) float32: the lowest frequencies of the mean over the channels."""
    return dctn(unit, axes=(1, 2, 3), norm="ortho")[:, :LOW, :LOW, 0].reshape(len(unit), -1).astype(np.float32)


def _candidates(low: np.ndarray, threshold: float) -> np.ndarray:
    """(P, 2) sorted positions of all pairs within `threshold`, give or take the rounding of float32."""
    if len(low) < 2:
        return np.empty((0, 2), np.int64)
    search = NearestNeighbors(radius=threshold + 1e-3, algorithm="brute").fit(low)
    found, total = [], 0
    for rows in _chunks(np.arange(len(low))):
        near = search.radius_neighbors(low[rows], return_distance=False)
        pairs = np.column_stack([np.repeat(rows, [len(each) for each in near]), np.concatenate(near)])
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
        total += len(found[-1])
        if total > MOST_PAIRS * len(low):
            raise FoldstackError(
                f"data.near_duplicates {threshold:g} finds more than {total} pairs of nearly equal images among "
                f"{len(low)}; lower it, or set it to 0 to keep only identical images together."
            )
    pairs = np.concatenate(found).astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _chunks(values: np.ndarray, step: int = CHUNK) -> Iterator[np.ndarray]:
    return (values[start : start + step] for start in range(0, len(values), step))
