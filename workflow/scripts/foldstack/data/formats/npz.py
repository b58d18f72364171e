"""`npz` and `npz_pairs`: arrays `x` (or `xa` and `xb`) and `y`, with optional `id`, `group` and `fold`.

MedMNIST's archives, one file with the keys `train_images`, `train_labels` and so on, are read as they are.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from foldstack import columns
from foldstack.data.formats import layout
from foldstack.data.formats.arrays import arrays_in, column_text, fold_numbers, views_of
from foldstack.data.formats.source import SPLITS, Source, check_id, table
from foldstack.data.intake import Intake
from foldstack.data.labels import same_text
from foldstack.errors import FoldstackError

OPTIONAL = ("id", "group", "fold")
MEDMNIST = {f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")}


def read(path: Path, test_path: Path | None = None, *, task: str, given: dict | None = None) -> Source:
    """Samples of NumPy archives.

    Args:
        path: a file, or a folder with train.npz and optionally val.npz (joins the training samples) and test.npz.
        test_path: a file, or a folder with test.npz, that is the test split.
        task: `images`: `x` is uint8 (N, H, W) or (N, H, W, C). `pairs`: `x` is uint8 (N, H, 2W) or (N, H, 2W, C), the
            two images side by side, or `xa` and `xb` have the shape of images.
        given: `data.columns`: our keys -> the archive's.

    Returns:
        Source of decoded views. A sample's id is its `id`, else `<split>/<number>`.

    Raises:
        FoldstackError: naming the file and the key.
    """
    files, intake = _files(path), Intake("samples")
    _look_beside(path, files, intake)
    archives = [part for split, file in files.items() for part in _parts(file, split, task, given, intake)]
    if test_path is not None:
        marked = next((file for split, file, _ in archives if split == "test"), None)
        if marked is not None:
            raise FoldstackError(f"{marked} has a test split and data.test_path is set too; remove one of them.")
        arrays = arrays_in(_test_file(test_path))
        archives.append(("test", _test_file(test_path), _named(test_path, arrays, task, given, intake, "data")))
    parts, items = [], []
    for split, file, arrays in archives:
        rows, views = _read(file, arrays, task, split)
        parts.append(rows.assign(split=SPLITS[split]))
        items += list(views)
    test_given = any(split == "test" for split, *_ in archives)
    return Source(task, pd.concat(parts, ignore_index=True), items, test_given, intake)


def read_views(path: Path, *, task: str, given: dict | None = None) -> tuple[list[str], list[np.ndarray], Intake]:
    """(ids, views, account) of an archive without labels, for prediction; without `id`, samples are numbered."""
    if not path.is_file():
        raise FoldstackError(f"predict.path: {str(path)!r} is not a file; give an .npz file.")
    intake = Intake("samples")
    arrays = _named(path, arrays_in(path), task, given, intake, "predict")
    views = views_of(path, arrays, task)
    ids = column_text(path, arrays, "id", len(views)) or [f"{i:06d}" for i in range(len(views))]
    return [check_id(name or "", f"{path}, id") for name in ids], list(views), intake


def _parts(file: Path, split: str, task: str, given: dict | None, intake: Intake) -> list[tuple[str, Path, dict]]:
    """(split, file, arrays by our names) of an archive, or of each split in one of MedMNIST's."""
    arrays = arrays_in(file)
    if "train_images" not in arrays or "x" in arrays or given:
        return [(split, file, _named(file, arrays, task, given, intake, "data"))]
    intake.columns, intake.unused = {"x": "*_images", "y": "*_labels"}, sorted(set(arrays) - MEDMNIST)
    found = []
    for name in SPLITS:
        x, y = arrays.get(f"{name}_images"), arrays.get(f"{name}_labels")
        if x is not None and y is not None:
            found.append((name, file, {"x": x, "y": y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y}))
        elif x is not None:
            intake.pass_over((f"{name}[{i}]" for i in range(len(x))), f"no key '{name}_labels': without labels")
            intake.notes.append(
                f"{file.name} holds {len(x)} images in {name}_images without labels; they are not used."
            )
    return found


def _named(
    file: Path, arrays: dict[str, np.ndarray], task: str, given: dict | None, intake: Intake, section: str
) -> dict[str, np.ndarray]:
    """The arrays by our names."""
    given, names = given or {}, sorted(arrays)
    apart = task == "pairs" and any(key in names or key in given for key in ("xa", "xb"))
    optional = ("y", *OPTIONAL) if section == "data" else OPTIONAL
    found = columns.resolve(
        names,
        given,
        required=("xa", "xb") if apart else ("x",),
        optional=optional,
        where=str(file),
        key=f"{section}.columns",
        noun="key",
    )
    if section == "data" and "y" not in found.used:
        usual = next((name for name in columns.USUAL["y"] if name in names), "<its labels>")
        raise FoldstackError(
            f"{file} has no labels, only {names}; add the key 'y' with one label a sample or name it "
            f"(data.columns: {{y: {usual}}}); to label samples that have no labels, use predict.path."
        )
    intake.columns |= found.used
    intake.unused = sorted({*intake.unused, *found.unused})
    # Of the names only that of `label` may be a list (the schema), and archives have `y`.
    return {ours: arrays[name] for ours, name in found.used.items()}  # type: ignore[index]


def _look_beside(path: Path, files: dict[str, Path], intake: Intake) -> None:
    """Record in `intake` archives in the folder that are not read; refuse one whose name looks like a split."""
    if not path.is_dir():
        return
    for other in sorted(path.glob("*.npz")):
        if other in files.values() or other.name.startswith("."):
            continue
        try:
            arrays = arrays_in(other)
        except FoldstackError:
            intake.pass_over([other.name], "cannot be read")
            continue
        labelled, split = "y" in arrays, layout.split_of(other.stem)
        if labelled and split is not None and split not in files:
            way = f"rename it to {split}.npz" + (f", or set data.test_path: {other}" if split == "test" else "")
            raise FoldstackError(f"{other} looks like the {split} split, but is not called {split}.npz; {way}.")
        count = max((len(values) for values in arrays.values() if values.ndim), default=0)
        kind = "with labels" if labelled else "without labels"
        intake.pass_over((f"{other.name}[{i}]" for i in range(count)), f"in {other.name}, which is not read")
        way = "data.test_path would make it the test split" if labelled else "predict.path would label it"
        intake.notes.append(f"{other.name}, {count} samples {kind}, is not read; {way}.")


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


def _read(file: Path, arrays: dict[str, np.ndarray], task: str, split: str) -> tuple[pd.DataFrame, np.ndarray]:
    views = views_of(file, arrays, task)
    count = len(views)
    labels = column_text(file, arrays, "y", count)
    assert labels is not None, "_named lets no archive without labels through"
    if None in labels:
        raise FoldstackError(
            f"{file}, key 'y': sample {labels.index(None)} has an empty label; fill it in or remove it."
        )
    ids = column_text(file, arrays, "id", count) or [f"{split}/{i:06d}" for i in range(count)]
    ids = [check_id(name or "", f"{file}, key 'id'") for name in ids]
    groups = column_text(file, arrays, "group", count)
    rows = table(
        sample_id=ids,
        label=labels,
        group=None if groups is None else same_text(groups),
        fold=fold_numbers(file, arrays, count),
        source=[f"{file.name}[{i}]" for i in range(count)],
    )
    return rows, views
