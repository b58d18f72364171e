"""`npz` and `npz_pairs`: arrays `x` (or `xa` and `xb`) and `y`, with optional `id`, `group` and `fold`."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from foldstack.data.formats.source import Source, check_id, table
from foldstack.errors import FoldstackError

SPLITS = {"train": "train", "val": "train", "test": "test"}


def read(path: Path, test_path: Path | None = None, *, task: str) -> Source:
    """Samples of NumPy archives.

    Args:
        path: a file, or a folder with train.npz and optionally val.npz (joins the training samples) and test.npz.
        test_path: a file, or a folder with test.npz, that is the test split.
        task: `images`: `x` is uint8 (N, H, W) or (N, H, W, C). `pairs`: `x` is uint8 (N, H, 2W) or (N, H, 2W, C), the
            two images side by side, or `xa` and `xb` have the shape of images.

    Returns:
        Source of decoded views. A sample's id is its `id`, else `<split>/<number>`.

    Raises:
        FoldstackError: naming the file and the key.
    """
    files = _files(path)
    if test_path is not None:
        if "test" in files:
            raise FoldstackError(f"{files['test']} exists and data.test_path is set too; remove one of them.")
        files["test"] = _test_file(test_path)
    parts, items = [], []
    for name, file in files.items():
        rows, views = _read(file, task, name)
        parts.append(rows.assign(split=SPLITS[name]))
        items += list(views)
    return Source(task, pd.concat(parts, ignore_index=True), items, "test" in files)


def read_views(path: Path, *, task: str) -> tuple[list[str], list[np.ndarray]]:
    """(ids, views) of an archive without labels, for prediction; ids are numbers where it holds none."""
    if not path.is_file():
        raise FoldstackError(f"predict.path: {str(path)!r} is not a file; give an .npz file.")
    arrays = _load(path)
    views = _views(path, arrays, task)
    ids = _names(path, arrays, "id", len(views)) or [f"{i:06d}" for i in range(len(views))]
    return [check_id(name or "", f"{path}, id") for name in ids], list(views)


def _files(path: Path) -> dict[str, Path]:
    """Archive of each split that `path` has; `train` is always there."""
    if path.is_file():
        return {"train": path}
    files = {name: path / f"{name}.npz" for name in SPLITS}
    if not files["train"].is_file():
        raise FoldstackError(
            f"data.path: {str(path)!r} is neither an .npz file nor a folder with train.npz; correct it."
        )
    return {name: file for name, file in files.items() if file.is_file()}


def _test_file(path: Path) -> Path:
    file = path / "test.npz" if path.is_dir() else path
    if not file.is_file():
        raise FoldstackError(
            f"data.test_path: {str(file)!r} does not exist; give an .npz file or a folder with test.npz."
        )
    return file


def _read(file: Path, task: str, split: str) -> tuple[pd.DataFrame, np.ndarray]:
    arrays = _load(file)
    views = _views(file, arrays, task)
    count = len(views)
    labels = _names(file, arrays, "y", count)
    if labels is None:
        raise FoldstackError(f"{file} has no labels, only {sorted(arrays)}; add the key 'y' with one label a sample.")
    if None in labels:
        raise FoldstackError(
            f"{file}, key 'y': sample {labels.index(None)} has an empty label; fill it in or remove it."
        )
    ids = _names(file, arrays, "id", count) or [f"{split}/{i:06d}" for i in range(count)]
    ids = [check_id(name or "", f"{file}, key 'id'") for name in ids]
    rows = table(
        sample_id=ids,
        label=labels,
        group=_names(file, arrays, "group", count),
        fold=_folds(file, arrays, count),
        source=[f"{file.name}[{i}]" for i in range(count)],
    )
    return rows, views


def _load(file: Path) -> dict[str, np.ndarray]:
    """All arrays of an archive; nothing is unpickled."""
    arrays = {}
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise FoldstackError(
                f"{file} is a single array, not an .npz archive; write it with numpy.savez(file, x=..., y=...)."
            )
        with archive:
            for key in archive.files:
                try:
                    arrays[key] = archive[key]
                except ValueError as error:
                    raise FoldstackError(
                        f"{file}, key {key!r}: {str(error).rstrip('.')}; store numbers or text of fixed width, "
                        "not an object array."
                    ) from error
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise FoldstackError(f"{file} is not a readable .npz archive ({error}); write it again.") from error
    except (MemoryError, SyntaxError, RuntimeError) as error:
        raise FoldstackError(
            f"{file} is broken or encrypted, or too large for the memory ({error}); write it again."
        ) from error
    return arrays


def _views(file: Path, arrays: dict[str, np.ndarray], task: str) -> np.ndarray:
    """uint8 (N, V, H, W, C) with one view for images and two for pairs."""
    if task == "images":
        return _images(file, arrays, "x")[:, None]
    if "xa" in arrays or "xb" in arrays:
        left, right = _images(file, arrays, "xa"), _images(file, arrays, "xb")
        if left.shape != right.shape:
            raise FoldstackError(f"{file}: 'xa' has shape {left.shape}, 'xb' {right.shape}; they must be equal.")
        return np.stack([left, right], axis=1)
    both = _images(file, arrays, "x")
    if both.shape[2] % 2:
        raise FoldstackError(
            f"{file}, key 'x': the width {both.shape[2]} is odd, so it cannot be two images side by side; "
            "store 'xa' and 'xb' instead."
        )
    return np.stack(np.split(both, 2, axis=2), axis=1)


def _images(file: Path, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    """The array `key` as uint8 (N, H, W, C)."""
    if key not in arrays:
        raise FoldstackError(f"{file} has no key {key!r}, only {sorted(arrays)}; add the images as uint8.")
    x = arrays[key]
    if x.dtype != np.uint8:
        raise FoldstackError(f"{file}, key {key!r} holds {x.dtype}; convert the images to uint8, 0 to 255.")
    if x.ndim not in (3, 4) or 0 in x.shape or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        raise FoldstackError(
            f"{file}, key {key!r} has shape {x.shape}; expected (samples, height, width) or (samples, height, width, "
            "channels) with 1 or 3 channels and at least one sample."
        )
    return x[..., None] if x.ndim == 3 else x


def _column(file: Path, arrays: dict[str, np.ndarray], key: str, count: int, kinds: str) -> np.ndarray | None:
    values = arrays.get(key)
    if values is None:
        return None
    if values.shape != (count,):
        raise FoldstackError(
            f"{file}, key {key!r} has shape {values.shape}, but there are {count} samples; expected ({count},)."
        )
    if values.dtype.kind not in kinds:
        wanted = "whole numbers or text" if "U" in kinds else "whole numbers"
        raise FoldstackError(f"{file}, key {key!r} holds {values.dtype}; store {wanted}.")
    return values


def _names(file: Path, arrays: dict[str, np.ndarray], key: str, count: int) -> list[str | None] | None:
    """The array `key` as text, empty text as None; None if there is no such key."""
    values = _column(file, arrays, key, count, "iubU")
    if values is None:
        return None
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    return [str(value) or None for value in values.tolist()]


def _folds(file: Path, arrays: dict[str, np.ndarray], count: int) -> list[int] | None:
    values = _column(file, arrays, "fold", count, "iu")
    if values is not None and values.min() < 0:
        raise FoldstackError(
            f"{file}, key 'fold': sample {int(values.argmin())} has fold {values.min()}; number folds from 0."
        )
    return None if values is None else values.tolist()
