"""foldstack.data.decode: every kind of image becomes the right pixels, or a reason."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foldstack.data import decode as module
from foldstack.data.decode import Geometry, Seen, UndecodableError, convert, decode, probe

RGB = Geometry(8, 8, 3, "crop")
GREY = Geometry(8, 8, 1, "crop")


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_pixels_of_the_right_size_are_kept_exactly():
    pixels = noise(8, 8, 3)
    assert np.array_equal(decode(encoded(Image.fromarray(pixels)), RGB), pixels)
    grey = noise(8, 8)
    assert np.array_equal(decode(encoded(Image.fromarray(grey)), GREY), grey[..., None])
    assert np.array_equal(decode(encoded(Image.fromarray(grey)), RGB), np.repeat(grey[..., None], 3, axis=2))


def test_exif_orientation_is_applied_to_size_and_pixels():
    pixels = noise(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    content = encoded(Image.fromarray(pixels), exif=exif)
    assert probe(content) == (6, 4, 3)
    assert np.array_equal(decode(content, Geometry(6, 4, 3, "crop")), np.rot90(pixels, -1))


def test_palette_cmyk_and_bilevel():
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert decode(encoded(red.convert("P", palette=Image.Palette.ADAPTIVE)), RGB)[0, 0].tolist() == [255, 0, 0]
    cmyk = decode(encoded(red.convert("CMYK"), "TIFF"), RGB)
    assert cmyk[0, 0].tolist() == [255, 0, 0]
    assert decode(encoded(Image.new("1", (8, 8), 1)), GREY)[0, 0, 0] == 255


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_pixels_are_white_whatever_lies_under_them(channels):
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    out = decode(encoded(image), Geometry(8, 8, channels, "crop"))
    assert out[0, 0].tolist() == [0] * channels
    assert (out[1:] == 255).all()


def test_a_transparent_palette_is_seen_on_white():
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert decode(encoded(image, transparency=0), RGB)[0, 0].tolist() == [255, 255, 255]


def test_16_bit_grey_keeps_its_range():
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    for form in ("PNG", "TIFF"):
        content = encoded(Image.fromarray(values), form)
        assert probe(content) == (8, 8, 1)
        assert np.array_equal(decode(content, GREY)[..., 0], np.rint(values / 257).astype(np.uint8))


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(content, RGB)[0, 0].tolist() == [255, 0, 0]


def test_floating_point_is_refused_with_the_remedy():
    with pytest.raises(UndecodableError, match="convert to 8 or 16 bits"):
        decode(encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), GREY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not an image"),
    ],
)
def test_what_is_no_image_is_refused(content, reason):
    for read in (probe, lambda data: decode(data, RGB)):
        with pytest.raises(UndecodableError, match=reason):
            read(content)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_files_are_refused(form):
    content = encoded(Image.fromarray(noise(40, 40, 3)), form)
    with pytest.raises(UndecodableError):
        decode(content[: len(content) * 2 // 3], RGB)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("pillow_limit", [49, 60])  # Pillow refuses above twice its limit and only warns below
def test_decompression_bombs_are_refused_before_decoding(monkeypatch, pillow_limit):
    monkeypatch.setattr(module, "MAX_PIXELS", 50)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow_limit)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded a bomb"))
    with pytest.raises(UndecodableError, match="pixels"):
        decode(b"P6 10 10 255\n" + bytes(300), RGB)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name, reason in (("none.png", "No such file"), ("folder.png", "regular"), ("pipe.png", "regular")):
        with pytest.raises(UndecodableError, match=reason):
            decode(tmp_path / name, RGB)


def test_fit_crops_stretches_or_pads():
    """A white image between black bars, twice as wide as high."""
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, 8:24] = 255
    content = encoded(Image.fromarray(pixels))
    crop, stretch, pad = (decode(content, Geometry(16, 16, 3, fit)) for fit in ("crop", "stretch", "pad"))
    assert (crop == 255).all()
    assert stretch[:, 0].max() == 0
    assert stretch[:, 8].min() == 255
    assert pad[0].max() == 0
    assert pad[8, 8].min() == 255
    with pytest.raises(ValueError, match="geometry"):
        Geometry(8, 8, 3, "squeeze")


def test_convert_agrees_with_decode():
    pixels = noise(12, 10, 3)
    wanted = Geometry(8, 8, 1, "pad")
    expected = decode(encoded(Image.fromarray(pixels)), wanted)
    assert np.array_equal(convert(pixels[None], wanted)[0], expected)
    views = pixels[None]
    assert convert(views, Geometry(12, 10, 3, "pad")) is views


SEEDS = [
    encoded(Image.fromarray(noise(9, 7, 3)), form) for form in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PCX")
]
SEEDS += [encoded(Image.fromarray(noise(9, 7)), form) for form in ("PNG", "JPEG2000", "PPM", "TGA", "SGI")]


def attempt(content: bytes, geometry: Geometry) -> np.ndarray | str:
    try:
        return decode(content, geometry)
    except UndecodableError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None)
@given(
    content=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    end=st.integers(0, 2000),
    fit=st.sampled_from(["crop", "stretch", "pad"]),
    channels=st.sampled_from([1, 3]),
)
def test_mutated_bytes_give_the_right_shape_or_a_reason(content, changes, end, fit, channels):
    broken = bytearray(content)
    for position, value in changes:
        broken[position % len(broken)] = value
    outcome = attempt(bytes(broken[:end]), Geometry(5, 6, channels, fit))
    if isinstance(outcome, str):
        assert outcome
        assert "\n" not in outcome
    else:
        assert outcome.shape == (5, 6, channels)
        assert outcome.dtype == np.uint8


def test_the_decoder_imports_nothing_of_the_library():
    """Runs that read encoded files load it by name: what it imported would be missing in their recorded code."""
    code = (
        "import sys, foldstack.data.decode; print(sorted(name for name in sys.modules if name.startswith('foldstack')))"
    )
    scripts = Path(module.__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=scripts, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['foldstack', 'foldstack.data', 'foldstack.data.decode']"


def test_values_of_fewer_bits_are_scaled_by_their_own_range():
    values = np.array([[0, 4095], [2048, 1]], np.uint16)
    seen = Seen()
    twelve = Geometry(2, 2, 1, "crop", bits=12)
    assert decode(encoded(Image.fromarray(values)), twelve, seen)[..., 0].tolist() == [[0, 255], [128, 0]]
    assert seen == Seen(top=4095)
    with pytest.raises(UndecodableError, match=r"4096, does not fit into the 12 bits"):
        decode(encoded(Image.fromarray(values + 1)), twelve)


def test_pages_are_counted_or_become_channels():
    pages = [Image.fromarray(page) for page in noise(4, 8, 8)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    seen = Seen()
    assert np.array_equal(decode(content, GREY, seen)[..., 0], noise(4, 8, 8)[0])
    assert seen == Seen(pages=4)
    rgb = Geometry(8, 8, 3, "crop", pages="rgb")
    assert np.array_equal(decode(content, rgb), np.moveaxis(noise(4, 8, 8)[:3], 0, -1))
    for short, words in ((pages[:2], "has 2 pages"), ([*pages[:2], pages[2].resize((4, 4))], "several sizes")):
        content = encoded(short[0], "TIFF", save_all=True, append_images=short[1:])
        with pytest.raises(UndecodableError, match=words):
            decode(content, rgb)
    with pytest.raises(ValueError, match="unknown geometry"):
        Geometry(8, 8, 3, "crop", pages="last")


def test_pages_that_are_broken_do_not_spoil_the_first():
    pages = [Image.fromarray(page) for page in noise(3, 8, 8)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    cut = content[:-113]  # within the tags of the third page
    with pytest.raises((SyntaxError, UserWarning)), Image.open(io.BytesIO(cut)) as image:
        image.n_frames  # noqa: B018  # counting them reads the tags
    assert np.array_equal(decode(cut, GREY, Seen()), decode(content, GREY))


def test_only_who_asks_pays_for_a_second_look(monkeypatch):
    content, opened, once = encoded(Image.fromarray(noise(8, 8))), [], module._open
    monkeypatch.setattr(module, "_open", lambda source: opened.append(1) or once(source))
    decode(content, GREY)
    assert len(opened) == 1  # this is how stored images are read, in every epoch
    decode(content, GREY, Seen())
    assert len(opened) == 3
