"""Bytes, files and arrays to uint8 pixels of one geometry.

Decided here, once: orientation from EXIF is applied; of an animation the first frame counts, of a stack
the first page or, under `pages: rgb`, pages 1 to 3 as channels; transparent pixels are shown on white; 16-bit grey is
scaled by the full range of its `bits`; floating-point images are refused, since their range is unknown; resizing is
bicubic (antialiased), after conversion to grey or RGB; `pad` fills with black.

Imports nothing of this library: runs that read encoded files load it by name, outside their recorded code (pixels.py).
"""

import dataclasses
import io
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

try:
    import pillow_heif
except ImportError:
    HEIF: tuple[str, ...] = ()
else:
    pillow_heif.register_heif_opener()
    HEIF = ("HEIF",)

# Pillow opens more formats, but those run other programs (EPS), need a plug-in, or are not raster images.
FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICO", "IM", "JPEG", "JPEG2000", "MSP", "PCX", "PNG", "PPM", "PSD"),
    *("QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
    *HEIF,
)
MAX_PIXELS = 89_478_485  # Pillow's own limit of a decompression bomb: 256 MB as RGB
GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"}
STACKS, ANIMATIONS = {"TIFF"}, {"AVIF", "GIF", "PNG", "WEBP"}  # formats whose files may hold several images
PAGES = ("first", "rgb")
RESAMPLING = Image.Resampling.BICUBIC
Image.init()  # registers the formats now, not in the middle of several threads
SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO")}


class UndecodableError(Exception):
    """An image that cannot be used, and the reason in a few words."""


@dataclass(frozen=True)
class Geometry:
    """What every stored image looks like: `height` × `width` × `channels` (1 or 3), made by `fit`.

    Attributes:
        bits: that the values of 16-bit grey really have, 8 to 16.
        pages: `first`, or `rgb`: pages 1 to 3 of a file are the channels.
    """

    height: int
    width: int
    channels: int
    fit: str
    bits: int = 16
    pages: str = "first"

    def __post_init__(self):
        known = self.channels in (1, 3) and self.fit in ("crop", "stretch", "pad")
        if not known or self.pages not in PAGES or not 8 <= self.bits <= 16:
            raise ValueError(f"unknown geometry {self}")


@dataclass(slots=True)
class Seen:
    """What else a file holds besides the pixels that are read.

    Attributes:
        pages, frames: images of a stack, or of an animation.
        top: largest value of 16-bit grey; None for other images.
        narrowed: whether it is 16-bit colour, of which the upper 8 bits are read.
        transparent: whether any pixel is transparent.
        colour: whether it has colour that is read as grey.
    """

    pages: int = 1
    frames: int = 1
    top: int | None = None
    narrowed: bool = False
    transparent: bool = False
    colour: bool = False


def probe(source: Path | bytes | np.ndarray) -> tuple[int, int, int]:
    """(height, width, channels) before any fitting, from the header alone where possible; raises UndecodableError."""
    if isinstance(source, np.ndarray):
        return source.shape[-3:]
    with _refusing(), _open(source) as image:
        width, height = image.size
        # Pillow decodes a whole PNG in search of EXIF data after the pixels; those are too rare to wait for.
        oriented = image.format != "PNG" or "exif" in image.info
        if oriented and image.getexif().get(0x0112, 1) in (5, 6, 7, 8):
            width, height = height, width
        return height, width, 1 if image.mode in GREY_MODES else 3


def decode(source: Path | bytes, geometry: Geometry, seen: Seen | None = None) -> np.ndarray:
    """One image to uint8 (H, W, C); raises UndecodableError, and nothing else, for whatever bytes.

    Args:
        seen: filled with what else the file holds; None where images are read to train, which takes no second look.
    """
    held = Seen() if seen is None else seen
    with _refusing():
        content = source if isinstance(source, bytes) else bytes_of(source)
        with _open(content) as image:
            several = image.format in STACKS | ANIMATIONS
            if geometry.pages == "rgb":
                read = _pages_as_channels(image, geometry, held)
            else:
                _look_at_bits(image, geometry, held)
                ImageOps.exif_transpose(image, in_place=True)
                read = _to_mode(image, geometry, held)
            pixels = _to_array(_fit(read, geometry))
        if several and seen is not None:
            _count_images(content, seen)
        return pixels


def _count_images(content: bytes, seen: Seen) -> None:
    """Opens the file again, since counting frames may change what Pillow reads of the first."""
    try:
        with _open(content) as image:
            count = getattr(image, "n_frames", 1)
            seen.pages, seen.frames = (count, 1) if image.format in STACKS else (1, count)
    except Exception:  # what follows the first image is broken, which does not matter
        return


def _pages_as_channels(image: Image.Image, geometry: Geometry, seen: Seen) -> Image.Image:
    """Pages 1 to 3, in grey, as red, green and blue."""
    grey = dataclasses.replace(geometry, channels=1)
    channels = []
    for number in range(3):
        try:
            image.seek(number)
        except EOFError as error:
            raise UndecodableError(f"it has {number} page{'s' * (number > 1)}, but data.pages: rgb takes 3") from error
        _look_at_bits(image, geometry, seen)
        page = ImageOps.exif_transpose(image.copy())
        channels.append(_to_mode(page, grey, seen))
    if len({channel.size for channel in channels}) > 1:
        raise UndecodableError("its pages have several sizes, so they cannot be the channels of one image")
    return Image.merge("RGB", channels)


def convert(views: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Decoded views, uint8 (V, H, W, C), to the geometry; those that have it already are returned unchanged."""
    if views.shape[1:] == (geometry.height, geometry.width, geometry.channels):
        return views
    fitted = []
    for view in views:
        image = Image.fromarray(np.ascontiguousarray(view if view.shape[-1] == 3 else view[..., 0]))
        fitted.append(_to_array(_fit(_to_mode(image, geometry, Seen()), geometry)))
    return np.stack(fitted)


class _refusing:
    """Turn whatever Pillow raises on hostile bytes into UndecodableError."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, MemoryError):
            raise UndecodableError("the image needs too much memory") from error
        # Pillow's decoders raise nearly every built-in exception on broken files (struct.error, IndexError...).
        if isinstance(error, Exception) and not isinstance(error, UndecodableError):
            words = " ".join(str(error).split()) or type(error).__name__
            raise UndecodableError(f"cannot be decoded: {words[:200]}") from error


def _open(source: Path | bytes) -> Image.Image:
    """Open without decoding; the message never holds a path or an address, so that it is the same everywhere."""
    content = source if isinstance(source, bytes) else bytes_of(source)
    if not content:
        raise UndecodableError("the file is empty")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise UndecodableError("not an image in a format that is read, or its header is broken") from error
    except Image.DecompressionBombError as error:
        raise UndecodableError(f"more than {MAX_PIXELS} pixels") from error
    if image.width * image.height > MAX_PIXELS:
        raise UndecodableError(f"{image.width} × {image.height} is more than {MAX_PIXELS} pixels")
    return image


def bytes_of(file: Path) -> bytes:
    """A regular file's content; raises UndecodableError."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would wait forever
            raise UndecodableError("not a regular file")
        return file.read_bytes()
    except OSError as error:
        raise UndecodableError(f"cannot be read: {error.strerror}") from error


def _look_at_bits(image: Image.Image, geometry: Geometry, seen: Seen) -> None:
    """Of 16-bit colour Pillow reads the upper 8 bits; once an image is loaded, this can no longer be seen."""
    if image.mode.startswith("I") or not any(";16" in str(part) for part in getattr(image, "tile", ())):
        return
    seen.narrowed = True
    if geometry.bits < 16:
        raise UndecodableError("16-bit colour, of which 8 bits are read; data.bits is for grey, convert to 8 bits")


def _to_mode(image: Image.Image, geometry: Geometry, seen: Seen) -> Image.Image:
    """Any Pillow mode to L or RGB."""
    if image.mode == "F":
        raise UndecodableError("floating-point pixels, whose range is unknown; convert to 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _from_16_bit(image, geometry.bits, seen)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        seen.transparent |= layer.getchannel("A").getextrema()[0] < 255  # type: ignore[operator]  # one band: numbers
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    seen.colour |= geometry.channels == 1 and image.mode == "RGB"
    return image.convert("L" if geometry.channels == 1 else "RGB")


def _from_16_bit(image: Image.Image, bits: int, seen: Seen) -> Image.Image:
    values, limit = np.asarray(image).astype(np.int64), 2**bits - 1
    top = int(values.max())
    if values.min() < 0 or top > 65535:
        raise UndecodableError("32-bit pixels outside 0 to 65535; convert to 8 or 16 bits")
    if top > limit:
        raise UndecodableError(f"its largest value, {top}, does not fit into the {bits} bits of data.bits")
    seen.top = max(top, seen.top or 0)
    return Image.fromarray(((values * 255 + limit // 2) // limit).astype(np.uint8))


def _fit(image: Image.Image, geometry: Geometry) -> Image.Image:
    """The image at the geometry's size; with the same numbers as the functions of `PIL.ImageOps`."""
    (width, height), size = image.size, (geometry.width, geometry.height)
    if image.size == size:
        return image
    if geometry.fit == "stretch":
        return _resize(image, size, (0, 0, width, height))
    ratio, wanted = width / height, size[0] / size[1]
    if geometry.fit == "crop":
        seen = (wanted * height if ratio > wanted else width, width / wanted if ratio < wanted else height)
        left, top = (width - seen[0]) * 0.5, (height - seen[1]) * 0.5
        return _resize(image, size, (left, top, left + seen[0], top + seen[1]))
    new_width = max(round(ratio * size[1]), 1) if ratio < wanted else size[0]
    new_height = max(round(height / width * size[0]), 1) if ratio > wanted else size[1]
    padded = Image.new(image.mode, size)
    place = round((size[0] - new_width) * 0.5), round((size[1] - new_height) * 0.5)
    padded.paste(_resize(image, (new_width, new_height), (0, 0, width, height)), place)
    return padded


def _resize(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    """First across, then down: some versions of Pillow swap the passes of tall images, and each pass rounds."""
    left, top, right, bottom = box
    across = image.resize((size[0], image.height), RESAMPLING, (left, 0, right, image.height))
    return across.resize(size, RESAMPLING, (0, top, size[0], bottom))


def _to_array(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels
