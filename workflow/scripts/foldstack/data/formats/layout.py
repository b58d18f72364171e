"""What a folder's layout means; a layout that could be read in two ways is refused with one sentence, not guessed."""

import re
from collections import Counter
from pathlib import Path

from foldstack.data.formats.source import SPLITS, is_image, subfolders, visible, walk
from foldstack.errors import FoldstackError

WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "holdout"),
}
TABLES = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".xlsx", ".parquet", ".mat"}
OTHER_FORMS = {
    ".tar": "shards of WebDataset are not read; unpack them (tar -xf) and write a table of labels",
    ".parquet": "Parquet files are not read; write their images to files and their labels to a table",
    ".arrow": "Arrow files are not read; write their images to files and their labels to a table",
    ".tfrecord": "TFRecord files are not read; write their images to files and their labels to a table",
    ".zip": "archives are not unpacked; unpack it first",
    ".gz": "archives are not unpacked; unpack it first",
    ".7z": "archives are not unpacked; unpack it first",
    ".npz": "set data.format: npz",
}
TABLE = "a table must say their labels (columns path, label and split, data.format: csv; docs/how-to/data.md)"


def split_of(name: str) -> str | None:
    """`train`, `val` or `test` where a folder's name looks like a split, such as `Testing` or `test1`."""
    text = re.sub(r"[\W_]+", " ", name.casefold()).strip()
    text = re.sub(r"\s*\d+$", "", text)
    text = re.sub(r"\s*(set|data|dataset|images|imgs|split|samples)$", "", text)
    return next((split for split, words in WORDS.items() if text in words), None)


def split_folders(path: Path, named: frozenset[str]) -> dict[str, Path]:
    """Folders that hold class folders, by the name of their split; `{"train": path}` where there are no splits.

    Args:
        named: folders that the config's `data.labels` names, which are always classes.

    Raises:
        FoldstackError: other folders beside train/, or folders that look like splits under other names.
    """
    folders = subfolders(path)
    names = [folder.name for folder in folders]
    if names and set(names) <= named:
        return {"train": path}
    if "train" not in names or not subfolders(path / "train"):
        _refuse_splits(path, folders)
        return {"train": path}
    others = [folder for folder in folders if folder.name not in SPLITS]
    for folder in others:
        split = split_of(folder.name)
        if split is not None:
            raise FoldstackError(
                f"{path} holds train/ with class folders and {folder.name!r}, which looks like its {split} split; "
                f"rename it to {split}/" + (f", or set data.test_path: {folder}." if split == "test" else ".")
            )
        if next(walk(folder), None) is not None:
            raise FoldstackError(
                f"{path} holds train/ with class folders, but also {folder.name!r}, in which there are images; leave "
                "only train/, val/ and test/, or only class folders."
            )
    return {name: path / name for name in SPLITS if name in names}


def check_classes(path: Path, folders: list[Path], named: frozenset[str]) -> None:
    """Raise FoldstackError where all class folders hold the same folders, which may be the real classes or splits."""
    if {folder.name for folder in folders} <= named:
        return
    inside = [{entry.name for entry in subfolders(folder)} for folder in folders]
    flat = any(_has_images(folder) for folder in folders)
    if len(folders) == 1 and len(inside[0]) > 1 and not flat:
        only = folders[0]
        raise FoldstackError(
            f"{path} holds one folder, {only.name}/, and in it {_some(sorted(inside[0]))}; if that is the data set, "
            f"set data.path: {only}."
        )
    common = sorted(set.intersection(*inside)) if inside else []
    splits = [name for name in common if split_of(name)]
    if splits or (len(common) > 1 and not flat):
        what = "splits" if splits else "classes"
        names = [folder.name for folder in folders]
        raise FoldstackError(
            f"Every class folder of {path} ({_some(names)}) holds the folders {_some(splits or common)}, which may be "
            f"the {what}; give a table instead (data.format: csv), or say that the outer ones are the classes: "
            f"data.labels: {{{', '.join(f'{name}: {name}' for name in names[:3])}{', ...' if names[3:] else ''}}}."
        )


def no_class_folders(folder: Path, key: str) -> FoldstackError:
    """What was seen in a folder without class folders, and the next step."""
    files = [entry for entry in visible(folder) if entry.is_file()]
    suffixes = Counter(entry.suffix.lower() for entry in files)
    seen = f"{folder} holds no class folders; expected {folder.name}/<class>/<image>, and there are {counted(files)}"
    other = next((suffix for suffix in OTHER_FORMS if suffixes[suffix]), None)
    tables = [entry for entry in files if entry.suffix.lower() in (".csv", ".tsv")]
    if other:
        return FoldstackError(f"{seen}: {OTHER_FORMS[other]}.")
    if tables:
        return FoldstackError(f"{seen}: if the labels are there, set data.format: csv and data.path: {tables[0]}.")
    if any(map(is_image, files)):
        return FoldstackError(f"{seen}: {TABLE}. To label images that have no labels, use predict.path.")
    return FoldstackError(f"{seen}; correct {key} or put the data there.")


def needs_labels(folder: Path) -> FoldstackError:
    """For a split folder whose images are in no class folder."""
    images = list(walk(folder))
    beside = [entry for entry in visible(folder) if entry.suffix.lower() in TABLES]
    where = f" (are they in {beside[0].name}?)" if beside else ""
    later = "; to label images that have no labels, use predict.path" if folder.name == "test" else ""
    return FoldstackError(
        f"{folder} holds {counted(images)} and no class folders: {TABLE}{where}, or set data.path: "
        f"{folder.parent / 'train'} to leave them out{later}."
    )


def is_unlabelled(folder: Path, classes: set[str]) -> bool:
    """Whether a test folder holds images without labels: flat or in one folder `images`, and no table beside them."""
    if any(entry.suffix.lower() in TABLES for entry in visible(folder) if entry.is_file()):
        return False
    names = [entry.name for entry in subfolders(folder)]
    if names == ["images"] and "images" not in classes:
        return not any(entry.suffix.lower() in TABLES for entry in visible(folder / "images"))
    return not names and any(is_image(entry) for entry in visible(folder))


def counted(files: list[Path]) -> str:
    """ "24 .jpg and 1 .csv", or "no files"."""
    kinds = Counter(file.suffix.lower() or "without suffix" for file in files).most_common(3)
    return " and ".join(f"{count} {kind}" for kind, count in kinds) or "no files"


def _refuse_splits(path: Path, folders: list[Path]) -> None:
    read_as = {folder: split_of(folder.name) for folder in folders}
    splits = {folder: split for folder, split in read_as.items() if split is not None}
    splits = dict(sorted(splits.items(), key=lambda item: (list(WORDS).index(item[1]), item[0].name)))
    names = _some([folder.name for folder in splits])
    by_class = [folder for folder in splits if subfolders(folder)]
    if by_class:
        train, test = (
            next((folder for folder in splits if splits[folder] == name), None) for name in ("train", "test")
        )
        way = "move it out of there and set data.test_path to it"
        if train is not None:
            way = f"rename to train/, val/ and test/, or set data.path: {train}"
            way += f" and data.test_path: {test}" if test is not None else ""
        what = "their names splits, not classes" if len(splits) > 1 else "its name a split, not a class"
        raise FoldstackError(f"{path} holds {names}: by {what}; {way}{_or_classes(list(splits))}.")
    if len(splits) > 1:
        images = {folder: [entry for entry in visible(folder) if is_image(entry)] for folder in splits}
        first = next(iter(splits))
        tables = [entry for folder in splits for entry in visible(folder) if entry.suffix.lower() in (".csv", ".tsv")]
        where = (
            f" (are they in {tables[0].parent.name}/{tables[0].name}?)" if tables else " (or are they in the names?)"
        )
        raise FoldstackError(
            f"{path} holds {names}: by their names splits, but without class folders. {first.name}/ holds "
            f"{counted(images[first])}, so {TABLE}{where}{_or_classes(list(splits))}."
        )


def _or_classes(folders: list[Path]) -> str:
    pairs = ", ".join(f"{folder.name}: {folder.name}" for folder in folders[:3])
    return f"; if these are classes, say so for all class folders: data.labels: {{{pairs}, ...}}"


def _has_images(folder: Path) -> bool:
    return any(is_image(entry) for entry in visible(folder))


def _some(names: list[str]) -> str:
    return ", ".join(f"{name}/" for name in names[:3]) + (", ..." if len(names) > 3 else "")
