"""Files that look like images but are not read: what they are, and what to do about it."""

import importlib.util
import io
from pathlib import Path

HEAD = 132  # bytes that tell what a file is
HEIF = {".heic", ".heics", ".heif", ".heifs", ".hif"}
NEEDS_HEIF = "HEIC is read where the package pillow-heif is installed (python -m uv pip install pillow-heif)"
RAW = {".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"}
REMEDIES = {
    **dict.fromkeys(HEIF, NEEDS_HEIF),
    **dict.fromkeys(RAW, "a camera's raw file is not read; develop it to JPEG, PNG or TIFF"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM is not read; export it to PNG"),
    **dict.fromkeys((".svs", ".ndpi", ".mrxs", ".scn", ".czi", ".nd2", ".lif", ".oib"), "a microscope's file is not "
                    "read; export it to PNG or TIFF"),
    **dict.fromkeys((".exr", ".hdr", ".pfm"), "floating-point pixels are not read; convert to 8 or 16 bits"),
    **dict.fromkeys((".nii", ".nrrd", ".mha"), "a volume is not read; export its slices to PNG"),
    **dict.fromkeys((".svg", ".eps", ".ai"), "a drawing is not read; render it to PNG"),
    ".avif": "AVIF needs Pillow 11.3 or newer",
    ".jxl": "JPEG XL is not read; convert it to PNG",
}  # fmt: skip
MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def kind_of(head: bytes) -> str | None:
    """The kind of image that starts with these HEAD bytes, such as `JPEG`; None for everything else."""
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return "HEIC" if head[8:12] in HEIF_BRANDS else "AVIF" if head[8:12] in (b"avif", b"avis") else None
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "BMP"
    return "DICOM" if head[128:132] == b"DICM" else None


def explained(item, reason: str) -> str:
    """The reason why an image file cannot be decoded, or that it is of a kind for which a reader is missing."""
    try:
        with open(item, "rb") if isinstance(item, Path) and item.is_file() else io.BytesIO() as stream:
            kind = kind_of(stream.read(HEAD))
    except OSError:
        return reason
    if kind == "HEIC" and importlib.util.find_spec("pillow_heif") is None:
        return f"holds a HEIC image; {NEEDS_HEIF}"
    return f"{reason}; {REMEDIES['.avif']}" if kind == "AVIF" else reason


def reason(file: Path) -> str | None:
    """Why a file that looks like an image, but has no image suffix, is not read; None for any other file."""
    if file.suffix.lower() in REMEDIES:
        return REMEDIES[file.suffix.lower()]
    try:
        if not file.is_file():  # reading a pipe would wait forever
            return None
        with open(file, "rb") as stream:
            kind = kind_of(stream.read(HEAD))
    except OSError:
        return None
    if kind is None:
        return None
    if kind == "DICOM":
        return REMEDIES[".dcm"]
    named = f"its name ends in {file.suffix!r}" if file.suffix else "its name has no suffix"
    return f"holds a {kind} image, but {named}; rename it"
