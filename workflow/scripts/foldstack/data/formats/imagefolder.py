"""`imagefolder`: class folders of image files, with or without `train/`, `val/` and `test/` above them."""

import os
from collections.abc import Collection
from pathlib import Path

from foldstack.data.formats import layout
from foldstack.data.formats.source import (
    SPLITS,
    Source,
    is_image,
    not_data,
    pass_over_entry,
    pass_over_file,
    refusal,
    require,
    shown,
    storable,
    subfolders,
    table,
    visible,
    walk,
)
from foldstack.data.intake import Intake
from foldstack.errors import FoldstackError

Found = tuple[str, Path]  # (class, file)


def read(path: Path, test_path: Path | None = None, *, named: Collection[str] = ()) -> Source:
    """Samples of `train/<class>/**` (+ `val`, which joins the training samples, + `test`), or of `<class>/**`.

    As TinyImageNet is downloaded: images of `val/` may be labelled by `val/val_annotations.txt` (lines of name, tab,
    class), and a `test/` without class folders holds no samples: use `predict.path` for it.

    Args:
        path: the folder; it has the splits form if it holds a folder `train` that itself holds folders.
        test_path: a folder of class folders with the test split.
        named: folders that are always classes, whatever their names: the keys of `data.labels`.

    Returns:
        Source of files; a sample's id is its path below `path`, or `test/` plus its path below `test_path`.

    Raises:
        FoldstackError: missing or empty folders, images outside a class folder, two test splits, a layout that may be
            read in two ways.
    """
    require(path, "folder", "data.path")
    intake, named = Intake(), frozenset(named)
    splits = layout.split_folders(path, named)
    _pass_over_beside(path, list(splits.values()), intake)
    samples = _of_splits(path, splits, intake, named)
    test_given = "test" in splits and any(split == "test" for split, *_ in samples)
    if test_path is not None:
        if test_given:
            raise FoldstackError(f"{path} has a folder test/ and data.test_path is set too; remove one of them.")
        require(test_path, "folder", "data.test_path")
        own = Intake()
        found = _classes(test_path, test_path, own, named, key="data.test_path")
        samples += [("test", label, file, f"test/{file.relative_to(test_path).as_posix()}") for label, file in found]
        intake.passed_over += [(f"test/{name}", reason) for name, reason in own.passed_over]
        intake.refused += [(f"test/{name}", reason) for name, reason in own.refused]
        test_given = True
    intake.refused += [refusal(name) for *_, name in samples if not storable(name)]
    samples = [sample for sample in samples if storable(sample[3])]
    split, labels, files, ids = map(list, zip(*samples, strict=True)) if samples else ([], [], [], [])
    return Source("images", table(sample_id=ids, split=split, label=labels, source=ids), files, test_given, intake)


def _of_splits(path: Path, splits: dict[str, Path], intake: Intake, named: frozenset) -> list[tuple]:
    """(split, class, file, sample id) of every image."""
    samples: list[tuple] = []
    classes: set[str] = set()
    for name, folder in splits.items():
        annotations = folder / f"{name}_annotations.txt"
        inside = {entry.name for entry in subfolders(folder)}
        if name != "train" and annotations.is_file() and inside <= {"images"}:
            found = _annotated(folder, annotations, intake, path)
        elif name == "test" and not inside & classes and layout.is_unlabelled(folder, classes):
            count = len(unlabelled := [shown(file, path) for file in walk(folder, intake, path)])
            intake.pass_over(unlabelled, "without labels: predict.path is for them")
            intake.notes.append(
                f"test/ holds {count} images without labels, so it is not a test split; use predict.path to label them."
            )
            continue
        elif name != "train" and not inside & (classes | named) and (not inside or inside == {"images"}):
            raise layout.needs_labels(folder)
        else:
            found = _classes(folder, path, intake, named, key="data.path")
        classes |= {label for label, _ in found}
        samples += [(SPLITS[name], label, file, file.relative_to(path).as_posix()) for label, file in found]
    return samples


def _classes(folder: Path, root: Path, intake: Intake, named: frozenset, key: str) -> list[Found]:
    """All images in the class folders of `folder`."""
    directories = subfolders(folder)
    if not directories:
        raise layout.no_class_folders(folder, key)
    loose = [entry for entry in visible(folder) if entry.is_file() and is_image(entry)]
    if loose:
        raise FoldstackError(f"{str(loose[0])!r} is outside the class folders of {folder}; move it into one.")
    layout.check_classes(folder, directories, named)
    for entry in sorted(folder.iterdir()):
        if not_data(entry.name):
            pass_over_entry(entry, intake, root)
        elif not entry.is_dir():
            pass_over_file(entry, intake, root)
    samples = []
    for directory in directories:
        refused = len(intake.refused)
        files = list(walk(directory, intake, root))
        if not files:
            reasons = [reason for _, reason in intake.refused[refused:]]
            why = f" that is read ({len(reasons)} × {reasons[0]})" if reasons else ""
            held = layout.counted([Path(name) for _, _, names in os.walk(directory) for name in names])
            raise FoldstackError(
                f"Class folder {str(directory)!r} holds no image file{why}, only {held}; add images, remove the "
                f"folder, or set {key} to a folder in which every folder is a class."
            )
        samples += [(directory.name, file) for file in files]
    return samples


def _annotated(folder: Path, annotations: Path, intake: Intake, root: Path) -> list[Found]:
    """The images of a split whose labels are in a file beside them: lines of name, tab, class."""
    labels = {}
    try:
        lines = annotations.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise FoldstackError(f"{annotations} cannot be read ({error}); correct it.") from error
    for number, line in enumerate(lines, 1):
        name, _, rest = line.partition("\t")
        if line.strip() and not rest:
            raise FoldstackError(f"{annotations}, line {number}: expected a file's name, a tab and its class.")
        labels[name.strip()] = rest.partition("\t")[0].strip()
    found = []
    for file in walk(folder, intake, root):
        if file.name in labels:
            found.append((labels.pop(file.name), file))
        else:
            intake.refused.append((shown(file, root), f"has no line in {annotations.name}"))
    intake.refused += [
        (f"{folder.name}/{name}", f"is in {annotations.name}, but does not exist") for name in labels if name
    ]
    intake.facts.append(f"{len(found)} images of {folder.name}/ are labelled by {annotations.name}.")
    return found


def _pass_over_beside(path: Path, splits: list[Path], intake: Intake) -> None:
    """Record in `intake` what is beside train/, val/ and test/."""
    if splits == [path]:
        return
    for entry in sorted(path.iterdir()):
        if not_data(entry.name):
            pass_over_entry(entry, intake, path)
        elif entry not in splits:
            files = [entry]
            if entry.is_dir():
                files = [Path(folder) / name for folder, _, names in os.walk(entry) for name in names]
            intake.pass_over((shown(file, path) for file in files), "beside train/, val/ and test/")
