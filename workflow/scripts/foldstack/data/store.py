"""Decode the samples of a source, and keep them in one file: as pixels of one geometry, or as they were encoded."""

import itertools
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foldstack.data import unread
from foldstack.data.decode import Geometry, Seen, UndecodableError, bytes_of, convert, decode, probe
from foldstack.data.near import low_frequencies
from foldstack.data.pixels import content_hash, pack_index
from foldstack.errors import FoldstackError
from foldstack.jobs.progress import stage
from foldstack.text_table import nearby

LARGEST_KEPT = 256  # px; a common size up to this is kept
USUAL = 224
GROUP = 8  # samples that a thread reads at a time
AHEAD = 32  # groups read ahead of the writer: bounds the memory

Item = Path | np.ndarray
Numbered = tuple[int, Item]


@dataclass(slots=True)
class Sample:
    """What is stored of a sample.

    Attributes:
        stored: its pixels, or the bytes of its file.
        hashes: content hash of each view.
        low: low frequencies of each view (near.py); empty where nearly equal images are not searched for.
    """

    stored: bytes
    hashes: list[str]
    low: list[np.ndarray]


class Kept(NamedTuple):
    """What was written.

    Attributes:
        positions: of the samples in the file, by row.
        hashes: content hashes of each one's views.
        reasons: {position: why it could not be decoded} of the others.
        low: of each view of each row.
    """

    positions: list[int]
    hashes: list[list[str]]
    reasons: dict[int, str]
    low: list[np.ndarray]


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
        found = _each(items, _shapes, threads, "looking at sizes")
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

    def read(group: list[Numbered]) -> list[np.ndarray | str]:
        return [_views_or_reason(*numbered, wanted, seen)[0] for numbered in group]

    return _each(items, read, threads)


def read_samples(
    items: Sequence[Item], wanted: Geometry, *, keep_bytes: bool, describe: bool, threads: int = 1,
    seen: dict[int, Seen] | None = None,
) -> Iterator[Sample | str]:  # fmt: skip
    """As `decoded`, what is stored of each item.

    Args:
        keep_bytes: whether that is the bytes of the file instead of the pixels.
        describe: whether nearly equal images will be searched for.
    """

    def read(group: list[Numbered]) -> list[Sample | str]:
        found = [_views_or_reason(*numbered, wanted, seen) for numbered in group]
        good = [views for views, _ in found if not isinstance(views, str)]
        low = iter(low_frequencies(np.concatenate(good)) if good and describe else ())
        return [views if isinstance(views, str) else _sample(views, content, low) for views, content in found]

    def _sample(views: np.ndarray, content: bytes, low: Iterator[np.ndarray]) -> Sample:
        stored = content if keep_bytes else np.ascontiguousarray(views).tobytes()
        return Sample(stored, [content_hash(view) for view in views], [*itertools.islice(low, len(views))])

    return _each(items, read, threads)


def _each(
    items: Sequence[Item], read: Callable[[list[Numbered]], list], threads: int, what: str = "reading images"
) -> Iterator:
    """What `read` makes of groups of items, in their order, by `threads` threads that run a little ahead."""
    pending, waiting = enumerate(items), deque[Future]()
    with ThreadPoolExecutor(threads) as pool, stage(what, len(items)) as step:
        while True:
            while len(waiting) < max(AHEAD, 2 * threads) and (group := [*itertools.islice(pending, GROUP)]):
                waiting.append(pool.submit(read, group))
            if not waiting:
                return
            found = waiting.popleft().result()
            yield from found
            step(len(found))


def _views_or_reason(
    position: int, item: Item, wanted: Geometry, seen: dict[int, Seen] | None
) -> tuple[np.ndarray | str, bytes]:
    """(views or why there are none, the file's bytes)."""
    held, content = Seen(), b""
    try:
        if isinstance(item, np.ndarray):
            views = convert(item, wanted)
        else:
            content = bytes_of(item)
            views = decode(content, wanted, held)[None]
    except UndecodableError as error:
        return unread.explained(item, str(error)), content
    if seen is not None and held != Seen():
        seen[position] = held
    return views, content


def write_pixels(samples: Iterable[Sample | str], path: Path, shape: tuple[int, ...]) -> Kept:
    """Write the pixels of what could be decoded to an .npy file, one sample after another; `shape` is that of one."""
    with open(path, "wb") as stream:
        start = _write_header(stream, 0, shape)
        kept = _write_all(samples, stream)
        stream.seek(0)
        if _write_header(stream, len(kept.positions), shape) != start:
            raise RuntimeError("NumPy left no room in the header for the number of rows")
    return kept


def write_encoded(samples: Iterable[Sample | str], path: Path, wanted: Geometry) -> Kept:
    """As `write_pixels`, but of the bytes of the files, with an index after them (pixels.py)."""
    ends = [0]

    def measured() -> Iterator[Sample | str]:
        for sample in samples:
            if not isinstance(sample, str):
                ends.append(ends[-1] + len(sample.stored))
            yield sample

    with open(path, "wb") as stream:
        start = _write_header(stream, 0, ())
        kept = _write_all(measured(), stream)
        index = pack_index(ends[1:], [own for (own,) in kept.hashes], wanted)
        stream.write(index)
        stream.seek(0)
        if _write_header(stream, ends[-1] + len(index), ()) != start:
            raise RuntimeError("NumPy left no room in the header for the number of bytes")
    return kept


def _write_all(samples: Iterable[Sample | str], stream) -> Kept:
    kept = Kept([], [], {}, [])
    for position, sample in enumerate(samples):
        if isinstance(sample, str):
            kept.reasons[position] = sample
            continue
        stream.write(sample.stored)
        kept.positions.append(position)
        kept.hashes.append(sample.hashes)
        kept.low.extend(sample.low)
    return kept


def _write_header(stream, count: int, shape: tuple[int, ...]) -> int:
    """NumPy pads the header so that the first axis can grow in place: the count is known at the end only."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.tell()


def _shapes(group: list[Numbered]) -> list[tuple[int, int, int] | None]:
    shapes: list[tuple[int, int, int] | None] = []
    for _, item in group:
        try:
            shapes.append(probe(item))
        except UndecodableError:
            shapes.append(None)
    return shapes
