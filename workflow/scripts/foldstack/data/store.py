"""Decode the samples of a source into one array of pixels of one geometry."""

import hashlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from foldstack.data.decode import Geometry, UndecodableError, convert, decode, probe
from foldstack.errors import FoldstackError

LARGEST_KEPT = 256  # px; a common size up to this is kept
USUAL = 224
CHUNK = 256  # samples decoded ahead of the writer: bounds the memory

Item = Path | np.ndarray


def geometry(items: list[Item], *, image_size, channels, fit: str, threads: int = 1) -> Geometry:
    """The geometry of the stored pixels, looking at the images only where the config leaves it open.

    Args:
        image_size: None, a number or [height, width]; None keeps the size common to all readable images up to 256 px.
        channels: `auto` (3 if any image is coloured), 1 or 3.

    Raises:
        FoldstackError: none of the images can be read.
    """
    shapes = set()
    if image_size is None or channels == "auto":
        with ThreadPoolExecutor(threads) as pool:
            shapes = set(pool.map(_shape_or_none, items)) - {None}
        if not shapes:
            raise FoldstackError(f"None of the {len(items)} images can be read; check that data.path holds images.")
    if channels == "auto":
        channels = max(shape[2] for shape in shapes)
    if image_size is None:
        sizes = {shape[:2] for shape in shapes}
        height, width = sizes.pop() if len(sizes) == 1 and max(max(sizes)) <= LARGEST_KEPT else (USUAL, USUAL)
    else:
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return Geometry(height, width, channels, fit)


def decoded(items: list[Item], wanted: Geometry, threads: int = 1) -> Iterator[np.ndarray | str]:
    """Each item's views, uint8 (V, H, W, C), in the order of `items`, or the reason why it cannot be decoded."""
    pending = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        while chunk := list(itertools.islice(pending, CHUNK)):
            yield from pool.map(lambda item: _views_or_reason(item, wanted), chunk)


def write_pixels(views: Iterator[np.ndarray | str], path: Path, shape: tuple[int, ...]):
    """Write the decodable items to an .npy file, one after another.

    Args:
        shape: of one item in the file.

    Returns:
        (kept, hashes, reasons): positions of the items in the file, by row; the content hashes of each one's views;
        and {position: reason} of the others.
    """
    kept, hashes, reasons = [], [], {}
    with open(path, "wb") as stream:
        start = _write_header(stream, 0, shape)
        for position, item in enumerate(views):
            if isinstance(item, str):
                reasons[position] = item
                continue
            stream.write(np.ascontiguousarray(item).tobytes())
            kept.append(position)
            hashes.append([content_hash(view) for view in item])
        stream.seek(0)
        if _write_header(stream, len(kept), shape) != start:
            raise RuntimeError("NumPy left no room in the header for the number of rows")
    return kept, hashes, reasons


def content_hash(pixels: np.ndarray) -> str:
    """128 bits in hexadecimal; equal pixels of equal shape have equal hashes."""
    return hashlib.blake2b(np.ascontiguousarray(pixels), digest_size=16).hexdigest()


def _write_header(stream, count: int, shape: tuple[int, ...]) -> int:
    """NumPy pads the header so that the first axis can grow in place: the count is known at the end only."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.tell()


def _shape_or_none(item: Item) -> tuple[int, int, int] | None:
    try:
        return probe(item)
    except UndecodableError:
        return None


def _views_or_reason(item: Item, wanted: Geometry) -> np.ndarray | str:
    if isinstance(item, np.ndarray):
        return convert(item, wanted)
    try:
        return decode(item, wanted)[None]
    except UndecodableError as error:
        return str(error)
