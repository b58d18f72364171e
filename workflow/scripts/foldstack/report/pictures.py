"""Pictures inside a page: figures of earlier rules and tiles of pixels, without a reference to any other file."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from foldstack.errors import FoldstackError
from foldstack.report.figures.data import tile

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
TILE = 96  # px: height of a sample's picture
POINT = 96 / 72  # CSS pixels


def inline_svg(path, prefix: str) -> Markup:
    """The figure in an SVG file as an element of an HTML page, its title as text alternative.

    Ids get `prefix`, since those of two figures may be the same. Raises FoldstackError where the file is broken.
    """
    ElementTree.register_namespace("", SVG)
    try:
        root = ElementTree.parse(path).getroot()
        width = POINT * float(root.attrib.pop("width").removesuffix("pt"))
        root.attrib.pop("height")  # the view box has the proportions
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise FoldstackError(f"{path} cannot be read ({error}); delete it and run again.") from error
    title = root.findtext(f"{{{SVG}}}title") or Path(path).stem
    for name in ("metadata", "title"):
        for element in root.findall(f"{{{SVG}}}{name}"):
            root.remove(element)
    for parent in root.iter(f"{{{SVG}}}defs"):
        for element in parent.findall(f"{{{SVG}}}style"):
            parent.remove(element)  # in a page it would hold for everything; the page's own style has it
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            element.attrib[key] = _own(key, value, prefix)
            if key == f"{{{XLINK}}}href":
                element.attrib["href"] = element.attrib.pop(key)
    root.attrib |= {"role": "img", "aria-label": title, "style": f"width: {width:.0f}px"}
    text = ElementTree.tostring(root, encoding="unicode")
    return Markup(f'<div class="figure">{text}</div>')


def _own(key: str, value: str, prefix: str) -> str:
    """An attribute's value with `prefix` on every id in it."""
    if key == "id":
        return prefix + value
    if key.endswith("href") and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if key.endswith("href"):
        return "".join(value.split())  # matplotlib breaks its data URIs into lines
    return re.sub(r"url\(#", f"url(#{prefix}", value)


def inline_png(path, text: str) -> Markup:
    """The picture in a PNG file as an element of an HTML page, with `text` as its alternative."""
    try:
        content = Path(path).read_bytes()
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
    except OSError as error:
        raise FoldstackError(f"{path} cannot be read ({error}); delete it and run again.") from error
    image = Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(_uri(content), text, width, height)
    return Markup('<div class="figure photo">{}</div>').format(image)


def thumbnail(pixels: np.ndarray) -> str:
    """Data URI of a sample, (H, W, C) or (2, H, W, C) uint8; small ones are enlarged by whole steps."""
    height = pixels.shape[-3]
    picture = tile(pixels, height * (TILE // height) if height <= TILE else TILE)
    grey = pixels.shape[-1] == 1
    return encoded(Image.fromarray(picture).convert("L" if grey else "RGB"))


def encoded(picture: Image.Image) -> str:
    """Data URI of a picture, as PNG."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return _uri(stream.getvalue())


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
