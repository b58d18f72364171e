#!/usr/bin/env python3
"""Label images with an ensemble that Foldstack exported: needs this file, the model, onnxruntime, numpy and Pillow.

    python predict.py ensemble.onnx photos/ more/*.jpg -o predictions.csv
    python predict.py ensemble.onnx test.npz --submission -o submission.csv
    python predict.py ensemble.onnx --self-test

Inputs: folders (all images below), image files, globs, CSV or TSV files (column `path`, relative to the file), NPZ
files (`x`, or `xa` and `xb` for pairs; `id` optional). Files that cannot be read are named and skipped, files that are
no images are counted. HEIC files are read where the package pillow-heif is installed.
"""

import argparse
import base64
import csv
import glob
import hashlib
import io
import json
import os
import re
import sys
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

try:
    import pillow_heif
except ImportError:
    HEIF = ()
else:
    pillow_heif.register_heif_opener()
    HEIF = ("HEIF",)

# What comes before `class Model` matches the workflow (foldstack/data/decode.py and formats/source.py).
FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICO", "IM", "JPEG", "JPEG2000", "MSP", "PCX", "PNG", "PPM", "PSD"),
    *("QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
    *HEIF,
)
Image.init()
SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO")}
UNREAD = {".heic", ".heif", ".hif", ".avif"}  # image files for which the reader may not be installed
LEFT_BY_PROGRAMS = {
    *("@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler"),
    *("__macosx", "lost+found", "system volume information"),
}


def walk(folder: Path, passed_over: list, ancestors: frozenset = frozenset()):
    """Image files below a folder, by name; other files go to `passed_over`. Links are followed, loops are not."""
    real = os.path.realpath(folder)
    if real in ancestors:
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name.casefold() in LEFT_BY_PROGRAMS:
            passed_over.append(entry)
        elif entry.is_dir():
            yield from walk(entry, passed_over, ancestors | {real})
        elif entry.suffix.lower() in SUFFIXES:
            yield entry
        else:
            passed_over.append(entry)


class Model:
    """The exported file: `metadata` says what it takes, `run` gives its outputs by name."""

    def __init__(self, path: str, provider: str = "cpu", threads: int = 0):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        if provider == "cuda":
            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                sys.exit("This onnxruntime has no CUDA provider; install onnxruntime-gpu or leave out --provider cuda.")
            providers.insert(0, "CUDAExecutionProvider")
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=providers)
            self.metadata = json.loads(self.session.get_modelmeta().custom_metadata_map["foldstack"])
            self.classes, self.pairs = self.metadata["classes"], self.metadata["task"] == "pairs"
            self.golden = self.metadata["golden"]
        except Exception as error:  # onnxruntime raises many kinds
            beside = re.search(r"[^\s\"'/\\]+\.data\b", str(error))
            if beside or "xternal initializer" in str(error):
                name = beside[0] if beside else f"{Path(path).name}.data"
                sys.exit(f"{path} needs its weights beside it, in {name}, whole and unchanged: {error}")
            sys.exit(f"{path} is not a Foldstack ensemble, or needs a newer onnxruntime (1.21 or later): {error}")
        if "data" in self.metadata:  # its weights are in a second file
            weights = Path(path).parent / self.metadata["data"]["file"]
            digest = hashlib.sha256()
            with open(weights, "rb") as stream:
                for part in iter(lambda: stream.read(2**24), b""):
                    digest.update(part)
            if digest.hexdigest() != self.metadata["data"]["sha256"]:
                sys.exit(f"{weights} belongs to another export than {path}; put its own beside it.")

    def run(self, pixels: np.ndarray) -> dict:
        names = ["probabilities", "label", "class_name"]
        return dict(zip(names, self.session.run(names, {"image": pixels}), strict=True))

    def self_test(self) -> float:
        """The largest difference from the probabilities that were stored with the model's golden samples."""
        golden = self.golden
        pixels = np.frombuffer(zlib.decompress(base64.b64decode(golden["pixels"])), np.uint8)
        found = self.run(pixels.reshape(golden["shape"]))["probabilities"]
        return float(np.abs(found - np.array(golden["probabilities"])).max())

    @property
    def reading(self) -> dict:
        """How files are read: the bits of 16-bit grey, and the pages of stacks."""
        return {"bits": 16, "pages": "first"} | self.metadata.get("reading", {})

    def read(self, path) -> np.ndarray:
        """An image file; from its bytes, since Pillow turns some TIFF files twice when it is given a path."""
        with Image.open(io.BytesIO(Path(path).read_bytes()), formats=FORMATS) as image:
            if self.reading["pages"] == "rgb":
                image = pages_as_channels(image, self.reading["bits"])
            elif self.reading["bits"] < 16 and not image.mode.startswith("I") and ";16" in str(image.tile):
                raise ValueError("16-bit colour, of which 8 bits are read")
            return self.pixels(image)

    def pixels(self, image: Image.Image) -> np.ndarray:
        """An image of any kind and size to uint8 (H, W, C) of the stored size, as in training."""
        ImageOps.exif_transpose(image, in_place=True)
        image = to_mode(image, self.metadata["channels"], self.reading["bits"])
        image = fit(image, self.metadata["image_size"], self.metadata["fit"])
        return np.asarray(image, np.uint8).reshape(*self.metadata["image_size"], self.metadata["channels"])

    def view(self, array: np.ndarray) -> np.ndarray:
        """A decoded view of an NPZ file, uint8 (H, W) or (H, W, C), to the stored size."""
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 3)):
            raise ValueError(f"{array.dtype} {array.shape} is not a uint8 image")
        return self.pixels(Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array))


def pages_as_channels(image: Image.Image, bits: int) -> Image.Image:
    """Pages 1 to 3, in grey, as red, green and blue."""
    pages = []
    for number in range(3):
        image.seek(number)  # EOFError where there are fewer
        pages.append(to_mode(ImageOps.exif_transpose(image.copy()), 1, bits))
    return Image.merge("RGB", pages)


def to_mode(image: Image.Image, channels: int, bits: int) -> Image.Image:
    """To grey or RGB; transparent pixels are shown on white, 16-bit grey is scaled by the full range of its bits."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.mode.startswith("I"):
        values, limit = np.asarray(image).astype(np.int64), 2**bits - 1
        if values.min() < 0 or values.max() > limit:
            raise ValueError(f"pixels outside 0 to {limit}")
        image = Image.fromarray(((values * 255 + limit // 2) // limit).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image.convert("L" if channels == 1 else "RGB")


def fit(image: Image.Image, stored: list, how: str) -> Image.Image:
    """To [height, width] by crop, stretch or pad."""
    (width, height), size = image.size, (stored[1], stored[0])
    ratio, wanted = width / height, size[0] / size[1]
    if image.size == size:
        return image
    if how == "pad":
        new_width = max(round(ratio * size[1]), 1) if ratio < wanted else size[0]
        new_height = max(round(height / width * size[0]), 1) if ratio > wanted else size[1]
        padded = Image.new(image.mode, size)
        place = round((size[0] - new_width) * 0.5), round((size[1] - new_height) * 0.5)
        padded.paste(resize(image, (new_width, new_height), (0, 0, width, height)), place)
        return padded
    seen = (width, height)
    if how == "crop":
        seen = (wanted * height if ratio > wanted else width, width / wanted if ratio < wanted else height)
    left, top = (width - seen[0]) * 0.5, (height - seen[1]) * 0.5
    return resize(image, size, (left, top, left + seen[0], top + seen[1]))


def resize(image: Image.Image, size: tuple, box: tuple) -> Image.Image:
    """First across, then down: versions of Pillow differ in the order of the passes, and each pass rounds."""
    across = image.resize((size[0], image.height), Image.Resampling.BICUBIC, (box[0], 0, box[2], image.height))
    return across.resize(size, Image.Resampling.BICUBIC, (0, box[1], size[0], box[3]))


def samples(inputs: list, pairs: bool, passed_over: list):
    """(id, source) of every sample; a source is a path, or a list of decoded views."""
    for given in inputs:
        paths = [given] if os.path.exists(given) else sorted(glob.glob(given, recursive=True))
        if not paths:
            sys.exit(f"{given} does not exist and matches no file.")
        for path in map(Path, paths):
            if path.suffix == ".npz":
                yield from npz_samples(path, pairs)
            elif pairs:
                sys.exit(f"{path}: this model compares two images; give an NPZ file with xa and xb.")
            elif path.is_dir():
                yield from ((file.relative_to(path).as_posix(), file) for file in walk(path, passed_over))
            elif path.suffix in (".csv", ".tsv"):
                yield from table_samples(path)
            else:
                yield path.as_posix(), path


def table_samples(path: Path):
    """Rows of a table with a column `path`; delimiter and encoding are detected, `\\` is read as a separator."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        sys.exit(f"{path} is neither UTF-8 nor UTF-16; save it as one of them.")
    for delimiter in ",;\t|":
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names = [name.strip() for name in next(rows, [])]
        if "path" in names:
            break
    else:
        sys.exit(f"{path} has no column 'path'.")
    place = names.index("path")
    for row in rows:
        if len(row) > place and row[place].strip():
            name = row[place]
            name = name if (path.parent / name).exists() else name.strip().replace("\\", "/")
            yield name, path.parent / name


def npz_samples(path: Path, pairs: bool):
    try:
        with np.load(path, allow_pickle=False) as file:
            views = [file[name] for name in (("xa", "xb") if pairs else ("x",))]
            ids = file["id"] if "id" in file else np.arange(len(views[0]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{path} cannot be read as {'xa and xb' if pairs else 'x'} of an NPZ file: {error}")
    yield from ((str(name), list(sample)) for name, *sample in zip(ids, *views, strict=True))


def batches(model: Model, inputs: list, size: int, skipped: list, passed_over: list):
    """(ids, pixels) of up to `size` samples each; what cannot be read goes to `skipped`."""
    ids, stack = [], []
    for name, source in samples(inputs, model.pairs, passed_over):
        try:
            if isinstance(source, list):
                views = [model.view(array) for array in source]
                pixels = np.stack(views) if model.pairs else views[0]
            else:
                pixels = model.read(source)
        except Exception as error:  # Pillow raises nearly every kind on broken files
            skipped.append((name, " ".join(str(error).split()) or type(error).__name__))
            continue
        ids.append(name)
        stack.append(pixels)
        if len(ids) == size:
            yield ids, np.stack(stack)
            ids, stack = [], []
    if ids:
        yield ids, np.stack(stack)


def header(classes: list, top_k: int, submission: bool) -> list:
    if submission:
        return ["id", "label"]
    more = [f"{key}_{rank}" for rank in range(2, top_k + 1) for key in ("label", "probability")]
    return ["sample_id", "label", "probability", *more, *(f"prob_{name}" for name in classes)]


def row(name: str, values: np.ndarray, label: str, classes: list, arguments) -> list:
    """One line; `label` is empty where its probability is below the threshold."""
    label = label if values.max() >= arguments.threshold else ""
    if arguments.submission:
        return [name, label]
    order = np.argsort(-values, kind="stable")[1 : arguments.top_k]
    more = [item for index in order for item in (classes[index], f"{values[index]:.7g}")]
    return [name, label, f"{values.max():.7g}", *more, *(f"{value:.7g}" for value in values)]


def label_all(model: Model, arguments, path: str, skipped: list, passed_over: list) -> int:
    """Write the table; returns the number of its rows."""
    done = 0
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header(model.classes, min(arguments.top_k, len(model.classes)), arguments.submission))
        for ids, pixels in batches(model, arguments.inputs, arguments.batch, skipped, passed_over):
            outputs = model.run(pixels)
            for name, values, label in zip(ids, outputs["probabilities"], outputs["class_name"], strict=True):
                writer.writerow(row(name, values, label, model.classes, arguments))
            done += len(ids)
            if sys.stderr.isatty():
                print(f"\r{done} labelled", end="", file=sys.stderr, flush=True)
    return done


def counted(paths: list) -> str:
    """ ".txt 3, hidden 1"."""
    kinds = ["hidden" if path.name.startswith(".") else path.suffix.lower() or "none" for path in paths]
    return ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="ensemble.onnx")
    parser.add_argument("inputs", nargs="*", help="folders, images, globs, CSV or NPZ files")
    parser.add_argument("-o", "--output", default="predictions.csv")
    parser.add_argument("--top-k", type=int, default=1, metavar="K", help="columns for the K most probable classes")
    parser.add_argument("--threshold", type=float, default=0.0, metavar="P", help="below it the label stays empty")
    parser.add_argument("--submission", action="store_true", help="only the columns id and label")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="samples at a time")
    parser.add_argument("--provider", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="0: onnxruntime decides")
    parser.add_argument("--self-test", action="store_true", help="run the samples that are stored in the model")
    arguments = parser.parse_args()
    if arguments.batch < 1 or arguments.top_k < 1:
        parser.error("--batch and --top-k must be at least 1")
    model = Model(arguments.model, arguments.provider, arguments.threads)
    if arguments.self_test:
        difference = model.self_test()
        passed = difference <= model.golden["tolerance"]
        print(f"self-test {'passed' if passed else 'FAILED'}: largest difference {difference:.2g}", file=sys.stderr)
        if not passed or not arguments.inputs:
            return int(not passed)
    if not arguments.inputs:
        parser.error("give images to label")
    skipped: list = []
    passed_over: list = []
    part = f"{arguments.output}.part"
    try:
        done = label_all(model, arguments, part, skipped, passed_over)
        if done:
            os.replace(part, arguments.output)
    except OSError as error:
        sys.exit(f"Cannot write {arguments.output}: {error}")
    finally:
        if os.path.exists(part):
            os.remove(part)
    print(file=sys.stderr)
    for name, reason in skipped:
        print(f"skipped {name}: {reason}", file=sys.stderr)
    if passed_over:
        print(f"passed over, by suffix: {counted(passed_over)}", file=sys.stderr)
    if any(path.suffix.lower() in UNREAD for path in passed_over):
        print("HEIC and AVIF need a newer Pillow or pillow-heif: pip install -U pillow pillow-heif", file=sys.stderr)
    if not done:
        print("Nothing could be read, so nothing was written.", file=sys.stderr)
        return 1
    print(f"{arguments.output}: {done} labelled, {len(skipped)} skipped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
