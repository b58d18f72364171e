"""Labels to classes: spellings that a person reads as one word become one, and no two classes may look alike."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

from foldstack.errors import FoldstackError

INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060"  # at the ends of a cell, these are there by accident
BLANKS = INVISIBLE + "".join(letter for letter in map(chr, range(0x3001)) if letter.isspace())
# Small letters of Cyrillic and Greek that look like a Latin one, small or capital.
LOOKALIKES = str.maketrans(
    dict(zip("авекмнорстухіјѕһԛԝ", "abekmhopctyxijshqw", strict=True))
    | dict(zip("αβικνορτχ", "abikvoptx", strict=True))
)


def clean(text: str) -> str:
    """The text without blanks at its ends, with composed accents (Unicode NFC)."""
    return unicodedata.normalize("NFC", text.strip(BLANKS))


def read_labels(rows: pd.DataFrame, mapping: dict[str, str]) -> tuple[pd.Series, list[str]]:
    """The rows' labels, cleaned and mapped.

    Args:
        rows: columns `sample_id` and `label`.
        mapping: `data.labels`: a label as written in the data -> the class that it means.

    Returns:
        (labels, facts): the latter says which spellings were read as which class.

    Raises:
        FoldstackError: a label that is empty, holds a control character, or looks like another.
    """
    wanted = {clean(key): clean(value) for key, value in mapping.items()}
    spellings = rows["label"].value_counts().to_dict()
    classes = {raw: wanted.get(clean(raw), clean(raw)) for raw in spellings}
    known = {clean(raw) for raw in spellings}
    for key in wanted:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"they are {sorted(known)[:20]}."
            raise FoldstackError(f"data.labels names {key!r}, which no sample has as its label; {hint}")
    for raw, name in classes.items():
        problem = _problem(name)
        if problem:
            first = rows.loc[rows["label"] == raw, "sample_id"].iloc[0]
            raise FoldstackError(
                f"Sample {first!r} has the label {raw!r}, which {problem}; correct it, or map it: "
                f"data.labels: {{{_quoted(raw)}: <class>}}."
            )
    counts: dict[str, int] = {}
    for raw, name in classes.items():
        counts[name] = counts.get(name, 0) + spellings[raw]
    _check_alike(counts)
    changed = sorted((raw, name) for raw, name in classes.items() if raw != name)
    facts = [f"The label {raw!r} ({spellings[raw]} samples) was read as {name!r}." for raw, name in changed[:3]]
    facts += [f"So were {len(changed) - 3} more spellings of labels."] if len(changed) > 3 else []
    return rows["label"].map(classes), facts


def _problem(name: str) -> str:
    if not name:
        return "is empty"
    control = next((letter for letter in name if unicodedata.category(letter) in ("Cc", "Zl", "Zp")), None)
    return "" if control is None else f"holds the control character U+{ord(control):04X}"


def _check_alike(counts: dict[str, int]) -> None:
    """Raise FoldstackError where a person cannot tell two classes apart."""
    by_look: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        other = by_look.setdefault(look(name), name)
        if other != name:
            raise FoldstackError(
                f"The classes {ascii_too(other)} ({counts[other]} samples) and {ascii_too(name)} ({counts[name]}) look "
                f"alike; join them with data.labels: {{{_quoted(name)}: {_quoted(other)}}}, or give one of them "
                "another name there."
            )


def look(name: str) -> str:
    """A name without what a reader overlooks: case, widths, blanks, invisible characters and a number's form.

    The case of a single letter counts: in handwriting data, `a` and `A` are two classes.
    """
    text = unicodedata.normalize("NFKC", clean(name))
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    text = re.sub(r"\s+", " ", text).strip()
    text = text if len(text) == 1 else unicodedata.normalize("NFKC", text.casefold())
    if re.fullmatch(r"[+-]?\d+(\.0*)?", text) and text.isascii():
        return str(int(text.partition(".")[0]))
    return text.translate(LOOKALIKES)


def ascii_too(name: str) -> str:
    """A name in quotes, with its code points where it is not plain ASCII: two may look the same on paper."""
    return repr(name) if name.isascii() else f"{name!r} ({name!a})"


def _quoted(name: str) -> str:
    return (
        '"' + ascii(name)[1:-1].replace('"', '\\"') + '"' if not name.isascii() or "\\" in repr(name) else f'"{name}"'
    )


def same_text(values: Iterable[str | None]) -> list[str | None]:
    """Groups and the like: cleaned, empty ones as None."""
    return [None if value is None else clean(value) or None for value in values]
