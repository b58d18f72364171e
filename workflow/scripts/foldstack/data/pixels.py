"""The stored pixels of all samples, however they are kept: rows in, uint8 arrays out.

`data/pixels.npy` holds either the pixels themselves, or, where those would take too much of the disk, the bytes of the
image files, one after another, in a one-dimensional array that ends in an index (`pack_index`). The latter are decoded
whenever they are read, to exactly the pixels that the data stage saw: every image is compared with its recorded hash.
"""

import hashlib
import importlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from foldstack.errors import FoldstackError

FITS = ("crop", "stretch", "pad")
PAGES = ("first", "rgb")
HASH_BYTES = 16
FOOTER = np.dtype("<i8")  # of each: rows, height, width, channels, place in FITS, bits, place in PAGES
FOOTER_LENGTH = 7


def open_pixels(path, threads: int = 1) -> "Pixels":
    """Open stored pixels: `pixels[rows]` reads uint8 (N, H, W, C), or (N, 2, H, W, C) for pairs; opening reads nothing.

    Args:
        threads: number of decoding threads, where images are kept encoded.

    Raises:
        FoldstackError: the file is missing or broken.
    """
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        return stored if stored.ndim > 1 else EncodedPixels(stored, path, threads)
    except (OSError, ValueError, IndexError) as error:
        raise FoldstackError(f"{path} cannot be read ({error}); delete it and run the same command again.") from error


def content_hash(pixels: np.ndarray) -> str:
    """128 bits in hexadecimal; equal pixels of equal shape have equal hashes."""
    whole = np.ascontiguousarray(pixels)  # a buffer, which NumPy's stubs know from Python 3.12 on only
    return hashlib.blake2b(whole, digest_size=HASH_BYTES).hexdigest()  # type: ignore[arg-type]


def pack_index(ends: list[int], hashes: list[str], geometry) -> bytes:
    """What follows the last image file: where each of them ends, hashes of the decoded pixels, their geometry."""
    shape = (geometry.height, geometry.width, geometry.channels)
    read_as = (FITS.index(geometry.fit), geometry.bits, PAGES.index(geometry.pages))
    footer = np.array([len(ends), *shape, *read_as], FOOTER)
    return np.array(ends, FOOTER).tobytes() + b"".join(map(bytes.fromhex, hashes)) + footer.tobytes()


class EncodedPixels:
    """Image files in one array, read like the array of their pixels, (N, H, W, C) uint8.

    Attributes:
        nbytes: size of the decoded pixels.
    """

    ndim, dtype = 4, np.dtype(np.uint8)

    def __init__(self, stored: np.ndarray, path, threads: int):
        size = FOOTER.itemsize
        footer = stored[-FOOTER_LENGTH * size :]
        rows, height, width, channels, fit, bits, pages = np.frombuffer(footer.tobytes(), FOOTER).tolist()
        start = len(stored) - len(footer) - rows * (HASH_BYTES + size)
        if start < 0 or rows < 1:
            raise ValueError("its index does not fit its length")
        index = stored[start : start + rows * size].tobytes()
        self.ends = np.concatenate([[0], np.frombuffer(index, FOOTER)])
        self.hashes = stored[start + rows * size : -len(footer)].reshape(rows, HASH_BYTES)
        self.stored, self.path, self.shape = stored, Path(path), (rows, height, width, channels)
        self.nbytes = int(np.prod(self.shape))
        # Imported by name, so that it is not part of a run's code: a change there is noticed by each image's hash.
        decoder = importlib.import_module("foldstack.data.decode")
        self._decode, self._unreadable = decoder.decode, decoder.UndecodableError
        self._geometry = decoder.Geometry(height, width, channels, FITS[fit], bits, PAGES[pages])
        self._pool = ThreadPoolExecutor(threads)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        """The pixels of one row, or of those of a slice or an array of rows."""
        chosen = np.arange(len(self))[rows]
        if chosen.ndim == 0:
            return self._image(int(chosen))
        pixels = np.empty((len(chosen), *self.shape[1:]), np.uint8)

        def fill(place: int) -> None:
            pixels[place] = self._image(chosen[place])

        for _ in self._pool.map(fill, range(len(chosen))):  # raises what a thread raised
            pass
        return pixels

    def _image(self, row: int) -> np.ndarray:
        try:
            image = self._decode(self.stored[self.ends[row] : self.ends[row + 1]].tobytes(), self._geometry)
        except self._unreadable as error:
            raise FoldstackError(f"{self.path}, row {row}: {error}; delete the file and run again.") from error
        if content_hash(image) != self.hashes[row].tobytes().hex():
            raise FoldstackError(
                f"{self.path}, row {row}: the image decodes to other pixels than when the data were prepared, by "
                "another version of Pillow or because the file is damaged; delete it and run the same command again."
            )
        return image


Pixels = np.ndarray | EncodedPixels


class Prefetcher:
    """Reads rows; those announced with `prefetch` are read in a thread while the run computes with others."""

    def __init__(self, pixels: EncodedPixels):
        self.pixels = pixels
        self._pool = ThreadPoolExecutor(1)
        self._prefetched: dict[bytes, Future] = {}

    def prefetch(self, rows: np.ndarray) -> None:
        """Start reading `rows`, at most two batches ahead; a repeated call costs nothing."""
        key = rows.tobytes()
        if key not in self._prefetched:
            while len(self._prefetched) > 1:  # what was prefetched and never read
                self._prefetched.pop(next(iter(self._prefetched))).cancel()
            self._prefetched[key] = self._pool.submit(self.pixels.__getitem__, rows)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        found = self._prefetched.pop(rows.tobytes(), None)
        return self.pixels[rows] if found is None else found.result()
