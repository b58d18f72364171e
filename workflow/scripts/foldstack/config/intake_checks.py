"""Checks of how data are to be read: which keys go with which format, and the header of a table.

Runs at Snakemake's parse time: standard library only.
"""

import os
from pathlib import Path

from foldstack import text_table
from foldstack.errors import FoldstackError

ARCHIVES = ("npz", "npz_pairs")
KEYS = {  # of our columns, by format; those of prediction need no labels
    "csv": ("path", "label", *text_table.OPTIONAL),
    "npz": ("x", "y", "id", "group", "fold"),
    "npz_pairs": ("x", "xa", "xb", "y", "id", "group", "fold"),
}


def check(section: str, block: dict) -> None:
    """Refuse a section `data` or `predict` whose keys do not fit its format, its files or each other.

    Raises:
        FoldstackError: naming the key and the remedy.
    """
    form = block["format"]
    for key in ("images", "suffix"):
        if block[key] is not None and form != "csv":
            raise FoldstackError(f"Config: {section}.{key} is for {section}.format csv, not {form}; remove it.")
    if block["suffix"] is not None and "." not in block["suffix"]:
        raise FoldstackError(
            f"Config: {section}.suffix {block['suffix']!r} has no dot; did you mean '.{block['suffix']}'?"
        )
    if block["columns"]:
        known = KEYS.get(form, ())
        wrong = next((name for name in block["columns"] if name not in known), None)
        if wrong is not None:
            hint = f"it has {', '.join(known)}" if known else "it has none; remove the key"
            raise FoldstackError(f"Config: {section}.columns.{wrong} has no meaning for format {form}; {hint}.")
    if block["images"] is not None and not os.path.isdir(block["images"]):
        raise FoldstackError(f"Config: {section}.images {block['images']!r} is not a folder that is there; correct it.")
    if section == "data":
        _check_data(block)
    required = ["path", "label"] if section == "data" else ["path"]
    for key in ("path", "test_path"):
        if form == "csv" and block.get(key):
            text_table.open_table(Path(block[key]), section, block["columns"], required, header_only=True)


def _check_data(block: dict) -> None:
    arrays = block["format"] not in ("imagefolder", "csv")
    for key, usual in (("bits", 16), ("pages", None)):
        if arrays and block[key] != usual:
            raise FoldstackError(f"Config: data.{key} is for image files, not for {block['format']}; remove it.")
    if block["pages"] == "rgb" and block["channels"] == 1:
        raise FoldstackError("Config: data.pages: rgb gives 3 channels, but data.channels is 1; drop one of the two.")
    if not block["path"] or not block["test_path"]:
        return
    path, test = (Path(os.path.realpath(block[key])) for key in ("path", "test_path"))
    if path == test:
        raise FoldstackError(
            "Config: data.path and data.test_path are the same; every test sample would be trained on."
        )
    if block["format"] == "imagefolder" and (path in test.parents or test in path.parents):
        inner, outer = ("test_path", "path") if path in test.parents else ("path", "test_path")
        raise FoldstackError(
            f"Config: data.{inner} {block[inner]!r} lies inside data.{outer} {block[outer]!r}, so its images would be "
            "in both splits; give two folders of which neither holds the other."
        )
