"""Data sets as people bring them, drawn at random: whatever is taken is what a person reads, and nothing is uncounted.

The oracle is simple: found = taken + passed over + quarantined; each sample taken has the label that a person reads;
training and test share neither a group nor an image where the split is made here. Or one sentence refuses the data.
"""

import csv
import io
import json
import os
import unicodedata

import numpy as np
import pytest
from data_config import section
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from foldstack import tables
from foldstack.config import intake_checks
from foldstack.data.prepare import prepare
from foldstack.errors import FoldstackError
from foldstack.reruns import sources

FILES = {
    "samples": "samples.parquet", "pixels": "pixels.npy", "dataset": "dataset.json", "quarantine": "quarantine.csv",
    "pairs": "duplicates.parquet", "intake": "intake.json",
}  # fmt: skip
LABELS = ["cat", "Köter", "polar bear", "10", "9", "日本", "NA", "it's", "$x^2$", "train"]
SPELLINGS = [str, lambda text: f"{text} ", lambda text: unicodedata.normalize("NFD", text), lambda text: f" {text}"]
JUNK = {
    "notes.txt": b"no image",
    ".DS_Store": b"x",
    "@eaDir/t.jpg": b"\xff\xd8\xff",
    "Thumbs.db": b"x",
    "deep/er/readme.md": b"x",
    "photo.HEIC": b"\0\0\0\x18ftypheic" + bytes(99),
    "download": b"\x89PNG\r\n\x1a\n" + bytes(99),
    "empty.png": b"",
    "broken.jpg": b"\xff\xd8\xff\xe0" + bytes(40),
    "ct.dcm": bytes(128) + b"DICM",
}


@st.composite
def data_sets(draw):
    """What one data set is made of; `write` puts it on a disk."""
    labels = draw(st.lists(st.sampled_from(LABELS), min_size=2, max_size=3, unique=True))
    sample = st.fixed_dictionaries(
        {
            "label": st.sampled_from(labels),
            "image": st.integers(0, 40),  # equal numbers are equal images
            "group": st.none() | st.integers(0, 6),
            "spelling": st.sampled_from(range(len(SPELLINGS))),
            "split": st.sampled_from(["train", "train", "train", "val", "test"]),
        }
    )
    return {
        "form": draw(st.sampled_from(["classes", "splits", "csv", "npz"])),
        "samples": draw(st.lists(sample, min_size=6, max_size=30)),
        "junk": draw(st.lists(st.sampled_from(sorted(JUNK)), max_size=3, unique=True)),
        "delimiter": draw(st.sampled_from([",", ";", "\t"])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
        "named": draw(st.booleans()),
        "backslash": draw(st.booleans()),
        "suffix": draw(st.booleans()),
        "marked": draw(st.booleans()),
        "limit": draw(st.sampled_from([0.05, 0.5, 1.0])),
    }


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)


def write(made, root):
    """(config's section, {sample id: the label that a person reads}, how many files, rows or samples there are)."""
    samples, truth = made["samples"], {}
    if made["form"] in ("classes", "splits"):
        for i, one in enumerate(samples):
            folder = SPELLINGS[one["spelling"] if one["spelling"] < 3 else 0](one["label"])
            parts = [one["split"], folder] if made["form"] == "splits" else [folder]
            path = root.joinpath(*parts, f"{i:02d}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(one["image"])).save(path)
            truth[path.relative_to(root).as_posix()] = one["label"]
        first = next(path for path in sorted(root.rglob("*.png"))).parent
        for name in made["junk"]:
            (first / name).parent.mkdir(parents=True, exist_ok=True)
            (first / name).write_bytes(JUNK[name])
        found = sum(len(files) for _, _, files in os.walk(root))
        return section("data", format="imagefolder", path=str(root)), truth, found
    if made["form"] == "npz":
        arrays = {"x": np.stack([picture(one["image"]) for one in samples])}
        arrays["y"] = np.array([SPELLINGS[one["spelling"]](one["label"]) for one in samples])
        if made["named"]:
            arrays["Groups"] = np.array(["" if one["group"] is None else f"p{one['group']}" for one in samples])
        root.mkdir()
        np.savez(root / "a.npz", **arrays)
        truth = {f"train/{i:06d}": one["label"] for i, one in enumerate(samples)}
        columns = {"group": "Groups"} if made["named"] and made["marked"] else {}
        return section("data", format="npz", path=str(root / "a.npz"), columns=columns), truth, len(samples)
    names = ["Bild", "Befund", "Patient"] if made["named"] else ["path", "label", "group"]
    rows = [[*names, *(["split"] if made["marked"] else []), "more"]]
    (root / "images").mkdir(parents=True)
    for i, one in enumerate(samples):
        Image.fromarray(picture(one["image"])).save(root / "images" / f"{i:02d}.png")
        separator = "\\" if made["backslash"] else "/"
        cell = f"{i:02d}" if made["suffix"] else f"images{separator}{i:02d}.png"
        group = "" if one["group"] is None else f"p{one['group']}{' ' * (i % 2)}"
        split = [one["split"]] if made["marked"] else []
        rows.append([cell, SPELLINGS[one["spelling"]](one["label"]), group, *split, "?"])
        truth[cell.replace("\\", "/")] = one["label"]
    stream = io.StringIO()
    csv.writer(stream, delimiter=made["delimiter"]).writerows(rows)
    (root / "t.csv").write_bytes(stream.getvalue().encode(made["encoding"]))
    config = section("data", format="csv", path=str(root / "t.csv"))
    config["columns"] = dict(zip(["path", "label", "group"], names, strict=True)) if made["named"] else {}
    if made["suffix"]:
        config |= {"suffix": ".png", "images": str(root / "images")}
    return config, truth, len(samples)


def prepared(config, folder):
    """(dataset.json, "") or (None, the sentence that refuses the data)."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sources, "CACHE_FOLDER", folder / "cache")
        try:
            intake_checks.check("data", config)
            sources.digest(config)
            return prepare(config, **{key: folder / name for key, name in FILES.items()}), ""
        except FoldstackError as error:
            return None, str(error)


@settings(max_examples=120, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(made=data_sets())
def test_whatever_is_taken_is_what_a_person_reads(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("messy")
    config, truth, count = write(made, folder / "in")
    config["max_quarantined"] = made["limit"]
    summary, words = prepared(config, folder)
    if summary is None:
        event("refused")
        assert words.strip().endswith(".")
        assert len(words.splitlines()) == 1
        return
    event("taken")
    samples = tables.read_samples(folder / "samples.parquet")
    found = json.loads((folder / "intake.json").read_text())
    assert found["found"] == count == found["taken"] + found["passed_over"] + found["quarantined"]
    assert found["taken"] == len(samples)
    for key in ("passed_over", "quarantined"):
        assert sum(row["count"] for row in found[f"why_{key}"]) == found[key]
    labels = {row.sample_id: summary["classes"][row.label] for row in samples.itertuples()}
    assert labels.items() <= truth.items()
    if not any(name.endswith((".png", ".jpg")) for name in made["junk"]):
        assert len(labels) == len(truth)  # nothing that can be read was left out
    if found["splits"]["test_from"] == "cut off here":
        assert samples.groupby("hash")["split"].nunique().max() == 1
    groups = {name: one["group"] for name, one in zip(truth, made["samples"], strict=True)}
    if made["form"] == "csv":
        names = [None if groups[name] is None else f"p{groups[name]}" for name in samples["sample_id"]]
        assert samples["group"].astype(object).where(samples["group"].notna(), None).tolist() == names
    grouped = samples[samples["group"].notna()]
    assert grouped.empty or grouped.groupby("group")["split"].nunique().max() == 1
    two = {}
    for name, one in zip(truth, made["samples"], strict=True):
        if name in labels:
            two.setdefault(one["image"], set()).add(one["label"])
    assert summary["two_labels"]["identical"] == sum(len(own) > 1 for own in two.values())
