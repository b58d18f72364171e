"""Bytes, files and arrays to uint8 pixels of one geometry.

What is decided here, once for all: orientation from EXIF is applied; of an animation the first frame counts;
transparent pixels are seen on white; 16-bit grey is scaled by its full range; floating-point images are refused, since
their range is unknown; resizing is bicubic (antialiased), after conversion to grey or RGB; `pad` fills with black.
"""

import io
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# Pillow opens more, but those formats run other programs (EPS), need a plug-in, or are no raster images.
FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICO", "IM", "JPEG", "JPEG2000", "MSP", "PCX", "PNG", "PPM", "PSD"),
    *("QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
)
MAX_PIXELS = 89_478_485  # Pillow's own limit of a decompression bomb: 256 MB as RGB
GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"}
RESAMPLING = Image.Resampling.BICUBIC
Image.init()  # registers the formats now, not in the middle of several threads
SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO")}


class UndecodableError(Exception):
    """An image that cannot be used, and the reason in a few words."""


@dataclass(frozen=True)
class Geometry:
    """What every stored image looks like: `height` × `width` × `channels` (1 or 3), made by `fit`."""

    height: int
    width: int
    channels: int
    fit: str

    def __post_init__(self):
        if self.channels not in (1, 3) or self.fit not in ("crop", "stretch", "pad"):
            raise ValueError(f"unknown geometry {self}")


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


def decode(source: Path | bytes, geometry: Geometry) -> np.ndarray:
    """One image to uint8 (H, W, C); raises UndecodableError, and nothing else, for whatever bytes."""
    with _refusing(), _open(source) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return _to_array(_fit(_to_mode(image, geometry.channels), geometry))


def convert(views: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Decoded views, uint8 (V, H, W, C), to the geometry; those that have it already are returned unchanged."""
    if views.shape[1:] == (geometry.height, geometry.width, geometry.channels):
        return views
    fitted = []
    for view in views:
        image = Image.fromarray(np.ascontiguousarray(view if view.shape[-1] == 3 else view[..., 0]))
        fitted.append(_to_array(_fit(_to_mode(image, geometry.channels), geometry)))
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
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe would wait for ever
            raise UndecodableError("not a regular file")
        return file.read_bytes()
    except OSError as error:
        raise UndecodableError(f"cannot be read: {error.strerror}") from error


def _to_mode(image: Image.Image, channels: int) -> Image.Image:
    """Any Pillow mode to L or RGB."""
    if image.mode == "F":
        raise UndecodableError("floating-point pixels, whose range is unknown; convert to 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _from_16_bit(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image.convert("L" if channels == 1 else "RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UndecodableError("32-bit pixels outside 0 to 65535; convert to 8 or 16 bits")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _fit(image: Image.Image, geometry: Geometry) -> Image.Image:
    """The image at the geometry's size; where `PIL.ImageOps` has the same, with the same numbers."""
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
