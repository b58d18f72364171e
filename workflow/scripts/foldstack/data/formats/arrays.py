"""Arrays of NumPy archives: loaded without pickle, their shapes and types checked."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from foldstack.errors import FoldstackError


def arrays_in(file: Path) -> dict[str, np.ndarray]:
    """All arrays of an archive; nothing is unpickled."""
    arrays = {}
    try:
        with open(file, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise FoldstackError(
                    f"{file} is a single array, not an .npz archive; write it with numpy.savez(file, x=..., y=...)."
                )
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


def views_of(file: Path, arrays: dict[str, np.ndarray], task: str) -> np.ndarray:
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


def column_text(file: Path, arrays: dict[str, np.ndarray], key: str, count: int) -> list[str | None] | None:
    """The array `key` as text, empty text as None; None if there is no such key."""
    values = _column(file, arrays, key, count, "iubU")
    if values is None:
        return None
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    return [str(value) or None for value in values.tolist()]


def fold_numbers(file: Path, arrays: dict[str, np.ndarray], count: int) -> list[int] | None:
    values = _column(file, arrays, "fold", count, "iu")
    if values is not None and values.min() < 0:
        raise FoldstackError(
            f"{file}, key 'fold': sample {int(values.argmin())} has fold {values.min()}; number folds from 0."
        )
    return None if values is None else values.tolist()
