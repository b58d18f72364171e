"""Decode the samples of a source, and keep them in one file: as pixels of one geometry, or as they were encoded."""

import itertools
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from foldstack.data import unread
from foldstack.data.decode import Geometry, Seen, UndecodableError, bytes_of, convert, decode, probe
from foldstack.data.pixels import content_hash, pack_index
from foldstack.errors import FoldstackError
from foldstack.jobs.progress import steps
from foldstack.text_table import nearby

LARGEST_KEPT = 256  # px; a common size up to this is kept
USUAL = 224
CHUNK = 256  # samples decoded ahead of the writer: bounds the memory

Item = Path | np.ndarray


def geometry(
    items: Sequence[Item], *, image_size, channels, fit: str, bits: int = 16, pages: str | None = None, threads: int = 1
) -> Geometry:
    """The geometry of the stored pixels, looking at the images only where the config leaves it open.

    Args:
        image_size: None, a number or [height, width]; None keeps the size common to all readable images up to 256 px.
        channels: `auto` (3 if any image is coloured), 1 or 3; `pages: rgb` makes 3 of `auto`.

    Raises:
        FoldstackError: none of the images can be read.
    """
    shapes, pages = set(), pages or "first"
    channels = 3 if pages == "rgb" else channels
    if image_size is None or channels == "auto":
        with ThreadPoolExecutor(threads) as pool:
            found = steps(pool.map(_shape_or_none, items), "looking at sizes", len(items))
            shapes = {shape for shape in found if shape is not None}
        if not shapes:
            raise FoldstackError(_none_readable(items))
    if channels == "auto":
        channels = max(shape[2] for shape in shapes)
    if image_size is None:
        sizes = {shape[:2] for shape in shapes}
        height, width = sizes.pop() if len(sizes) == 1 and max(max(sizes)) <= LARGEST_KEPT else (USUAL, USUAL)
    else:
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return Geometry(height, width, channels, fit, bits, pages)


def _none_readable(items: Sequence[Item]) -> str:
    file = items[0]
    try:
        probe(file)
    except UndecodableError as error:
        near = nearby(file, "data") if isinstance(file, Path) and not file.exists() else ""
        reason = f"{error}{f'; {near}' if near else ''}"
        return f"None of the {len(items)} images can be read; the first is {str(file)!r}: {reason}."
    return f"None of the {len(items)} images can be read; check that data.path holds images."


def keeps_encoded(asked: str, share: float, items: Sequence[Item], shape: tuple[int, ...], folder: Path) -> bool:
    """Whether samples are kept as encoded bytes instead of as pixels.

    Args:
        asked: `auto`, `pixels` or `encoded`; `auto` keeps bytes where pixels would need more than `share` of the
            free space on the disk of `folder`, and bytes need less.
        shape: of a sample's pixels.

    Raises:
        FoldstackError: `encoded` is asked for, but the samples are not image files.
    """
    files = all(isinstance(item, Path) for item in items)
    if asked == "encoded" and not files:
        raise FoldstackError("data.store: encoded keeps image files, but these samples are arrays; set it to pixels.")
    if asked != "auto" or not files:
        return asked == "encoded"
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = len(items) * int(np.prod(shape)), shutil.disk_usage(folder).free
    if needed <= share * free:
        return False
    smaller = sum(item.stat().st_size for item in items if isinstance(item, Path) and item.is_file()) < needed
    print(
        f"pixels would need {needed / 1e9:.1f} GB, more than {share:g} of the {free / 1e9:.1f} GB that are free: "
        + ("kept as encoded bytes" if smaller else "kept as pixels all the same, since the files are even larger")
    )
    return smaller


def decoded(
    items: Sequence[Item], wanted: Geometry, threads: int = 1, seen: dict[int, Seen] | None = None
) -> Iterator[np.ndarray | str]:
    """Each item's views, uint8 (V, H, W, C), in the order of `items`, or the reason why it cannot be decoded.

    `seen` is filled, by position, with what else image files hold besides the pixels that are read.
    """
    return steps(_each(items, _views, wanted, threads, seen), "reading images", len(items))


def encoded(
    items: list[Path], wanted: Geometry, threads: int = 1, seen: dict[int, Seen] | None = None
) -> Iterator[tuple[bytes, np.ndarray] | str]:
    """As `decoded`, with the bytes of each file before its views."""
    return steps(_each(items, _bytes_and_views, wanted, threads, seen), "reading images", len(items))


def _each(items: Sequence[Item], read, wanted: Geometry, threads: int, seen: dict[int, Seen] | None) -> Iterator:
    def one(numbered: tuple[int, Item]):
        position, item = numbered
        held = Seen()
        try:
            result = read(item, wanted, held)
        except UndecodableError as error:
            return unread.explained(item, str(error))
        if seen is not None and held != Seen():
            seen[position] = held
        return result

    pending = iter(enumerate(items))
    with ThreadPoolExecutor(threads) as pool:
        while chunk := list(itertools.islice(pending, CHUNK)):
            yield from pool.map(one, chunk)


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


def write_encoded(files: Iterator[tuple[bytes, np.ndarray] | str], path: Path, wanted: Geometry):
    """As `write_pixels`, but of the bytes of the files, with an index after them (pixels.py)."""
    kept, hashes, reasons, ends = [], [], {}, [0]
    with open(path, "wb") as stream:
        start = _write_header(stream, 0, ())
        for position, file in enumerate(files):
            if isinstance(file, str):
                reasons[position] = file
                continue
            content, (view,) = file
            stream.write(content)
            kept.append(position)
            hashes.append([content_hash(view)])
            ends.append(ends[-1] + len(content))
        index = pack_index(ends[1:], [own for (own,) in hashes], wanted)
        stream.write(index)
        stream.seek(0)
        if _write_header(stream, ends[-1] + len(index), ()) != start:
            raise RuntimeError("NumPy left no room in the header for the number of bytes")
    return kept, hashes, reasons


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


def _views(item: Item, wanted: Geometry, held: Seen) -> np.ndarray:
    return convert(item, wanted) if isinstance(item, np.ndarray) else decode(item, wanted, held)[None]


def _bytes_and_views(item: Path, wanted: Geometry, held: Seen) -> tuple[bytes, np.ndarray]:
    content = bytes_of(item)
    return content, decode(content, wanted, held)[None]
