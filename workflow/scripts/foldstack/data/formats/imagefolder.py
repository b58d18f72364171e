"""`imagefolder`: class folders of image files, with or without `train/`, `val/` and `test/` above them."""

from pathlib import Path

from foldstack.data.formats.source import Source, is_image, refusal, require, storable, subfolders, table, visible, walk
from foldstack.errors import FoldstackError

SPLITS = {"train": "train", "val": "train", "test": "test"}


def read(path: Path, test_path: Path | None = None) -> Source:
    """Samples of `train/<class>/**` (+ `val`, which joins the training samples, + `test`), or of `<class>/**`.

    Args:
        path: the folder; it has the splits form if it holds a folder `train` that itself holds folders.
        test_path: a folder of class folders with the test split.

    Returns:
        Source of files; a sample's id is its path below `path`, or `test/` plus its path below `test_path`.

    Raises:
        FoldstackError: missing or empty folders, images outside a class folder, two test splits, a mixed layout.
    """
    require(path, "folder", "data.path")
    splits = _split_folders(path)
    found = []  # (split, class, file, sample id)
    for name, folder in splits.items():
        for label, file in _classes(folder):
            found.append((SPLITS[name], label, file, file.relative_to(path).as_posix()))
    test_given = "test" in splits
    if test_path is not None:
        if test_given:
            raise FoldstackError(f"{path} has a folder test/ and data.test_path is set too; remove one of them.")
        require(test_path, "folder", "data.test_path")
        for label, file in _classes(test_path):
            found.append(("test", label, file, f"test/{file.relative_to(test_path).as_posix()}"))
        test_given = True
    refused = [refusal(name) for *_, name in found if not storable(name)]
    found = [sample for sample in found if storable(sample[3])]
    split, labels, files, ids = map(list, zip(*found, strict=True)) if found else ([], [], [], [])
    return Source("images", table(sample_id=ids, split=split, label=labels, source=ids), files, test_given, refused)


def _split_folders(path: Path) -> dict[str, Path]:
    """Folders that hold class folders, by the name of their split."""
    names = [folder.name for folder in subfolders(path)]
    if "train" not in names or not subfolders(path / "train"):
        return {"train": path}
    others = sorted(set(names) - set(SPLITS))
    if others:
        raise FoldstackError(
            f"{path} holds train/ with class folders, but also {others[0]!r}; leave only train/, val/ and test/, "
            "or only class folders."
        )
    return {name: path / name for name in SPLITS if name in names}


def _classes(folder: Path) -> list[tuple[str, Path]]:
    """(class, file) of all images in the class folders of `folder`."""
    directories = subfolders(folder)
    if not directories:
        raise FoldstackError(f"{folder} holds no class folders; expected {folder.name}/<class>/<image>.")
    loose = [entry for entry in visible(folder) if entry.is_file() and is_image(entry)]
    if loose:
        raise FoldstackError(f"{str(loose[0])!r} lies outside the class folders of {folder}; move it into one.")
    samples = []
    for directory in directories:
        files = list(walk(directory))
        if not files:
            raise FoldstackError(
                f"Class folder {str(directory)!r} holds no image file; add images or remove the folder."
            )
        samples += [(directory.name, file) for file in files]
    return samples
