"""The account of an intake: what was found, taken, passed over and left out, and how it was read. All are counted.

Formats fill an `Intake` while they read; `account` makes data/intake.json of it, `lines` three lines for the terminal.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from foldstack.data.decode import Seen

SUSPICIOUSLY_DARK = 2**14  # 16-bit images all below it lose 2 of 8 bits: likely 8 to 14 bits in a 16-bit file


@dataclass
class Intake:
    """What was found while a data set was read.

    Attributes:
        unit: what is counted: `files` of a folder, `rows` of a table, `samples` of an archive.
        passed_over: (name, reason) of files that are not samples.
        refused: (name, reason) of files that look like samples but cannot be used.
        columns: our name -> the table's; `unused`: its other names.
        notes: sentences that say what a person should look at.
        facts: sentences on what was detected automatically.
    """

    unit: str = "files"
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    columns: dict[str, str | list[str]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    def pass_over(self, names: Iterable[str], reason: str) -> None:
        self.passed_over += [(name, reason) for name in names]


def look_at(seen: dict[int, Seen], names: Sequence[str], pages: str | None, bits: int) -> list[str]:
    """Sentences on what else image files hold besides the pixels that were read.

    Args:
        seen: what each file holds, by position in `names`.
        pages, bits: of the config.
    """
    notes = []
    by_name = {names[position]: held for position, held in seen.items()}

    def first(keeps) -> tuple[int, str]:
        chosen = [name for name, held in by_name.items() if keeps(held)]
        return len(chosen), min(chosen, default="")

    used = 3 if pages == "rgb" else 1
    count, name = first(lambda held: held.pages > used)
    if count:
        what = "page 1 is" if used == 1 else "pages 1 to 3 are"
        notes.append(f"{count} files hold more pages than are used ({name}: {by_name[name].pages}): {what} read.")
    count, name = first(lambda held: held.frames > used)
    if count:
        notes.append(f"{count} files are animations ({name}): the first frame is read.")
    deep = [held.top for held in seen.values() if held.top is not None]
    if deep and bits == 16 and max(deep) < SUSPICIOUSLY_DARK:
        needed = next(bits for bits in (8, 10, 12, 14) if max(deep) < 2**bits)
        notes.append(
            f"All {len(deep)} images of 16 bits stay at or below {max(deep)} of 65535, so at most "
            f"{max(deep) * 255 // 65535 + 1} of 256 grey levels are used; if their values have {needed} bits, set "
            f"data.bits: {needed}."
        )
    count, name = first(lambda held: held.narrowed)
    if count:
        notes.append(f"{count} files have 16 bits a colour ({name}), of which the upper 8 are read.")
    count, name = first(lambda held: held.transparent)
    if count:
        notes.append(f"{count} files have transparent pixels ({name}), which are shown on white.")
    count, name = first(lambda held: held.colour)
    if count:
        notes.append(f"{count} files have colour ({name}), which is read as grey.")
    return notes


def account(
    intake: Intake, *, taken: Sequence[str], left_out: Sequence[tuple[str, str]], summary: dict, groups: pd.Series,
    split_from: str,
) -> dict:  # fmt: skip
    """What data/intake.json holds, apart from `lines`.

    Args:
        taken: source of each sample that was taken; left_out: (source, reason) of those in quarantine.
        summary: what dataset.json holds.
        groups: the samples' groups.
        split_from: where the test split comes from.
    """
    counts, named = summary["counts"], groups.dropna()
    return files_account(intake, taken, left_out) | {
        "classes": {name: {part: counts[part][name] for part in ("train", "test")} for name in summary["classes"]},
        "groups": {"groups": int(named.nunique()), "samples": len(named)},
        "splits": {part: sum(counts[part].values()) for part in ("train", "test")} | {"test_from": split_from},
        "two_labels": summary["two_labels"],
    }


def files_account(intake: Intake, taken: Sequence[str], left_out: Sequence[tuple[str, str]]) -> dict:
    """As `account`, for data without labels: found = taken + passed over + quarantined."""
    passed = intake.passed_over
    counts = {
        "taken": Counter(map(suffix, taken)),
        "passed_over": Counter(suffix(name) for name, _ in passed),
        "quarantined": Counter(suffix(name) for name, _ in left_out),
    }
    suffixes = [] if intake.unit == "samples" else sorted(set().union(*counts.values()))
    return {
        "unit": intake.unit,
        "found": len(taken) + len(passed) + len(left_out),
        "taken": len(taken),
        "passed_over": len(passed),
        "quarantined": len(left_out),
        "by_suffix": {key: {part: found[key] for part, found in counts.items()} for key in suffixes},
        "why_passed_over": by_reason(passed),
        "why_quarantined": by_reason(left_out),
        "columns": intake.columns,
        "unused": intake.unused,
        "notes": intake.notes,
        "facts": intake.facts,
    }


def by_reason(pairs: Iterable[tuple[str, str]]) -> list[dict]:
    """`reason`, `count` and `first` name of each reason, the most frequent first."""
    names: dict[str, list[str]] = {}
    for name, reason in pairs:
        names.setdefault(reason, []).append(name)
    rows = [{"reason": reason, "count": len(own), "first": min(own)} for reason, own in names.items()]
    return sorted(rows, key=lambda row: (-row["count"], row["reason"]))


def suffix(name: str) -> str:
    """A file name's suffix in small letters; "none" where it has none."""
    last = name.rpartition("/")[2]
    dot = last.rfind(".")
    return last[dot:].lower() if 0 < dot < len(last) - 1 else "none"


def lines(found: dict) -> list[str]:
    """The account in three lines: files, samples, and what a person should look at."""
    classes = [f"{name} {sum(counts.values())}" for name, counts in found["classes"].items()]
    groups, splits = found["groups"], found["splits"]
    grouped = f"{groups['groups']} groups of {groups['samples']} samples" if groups["groups"] else "no groups"
    samples = (
        f"Samples: {len(classes)} classes ({_some(classes)}); {grouped}; {splits['train']} training and "
        f"{splits['test']} test samples ({splits['test_from']})."
    )
    return [" ".join(line.split()) for line in (files_line(found, "Data"), samples, looks_line(found))]


def files_line(found: dict, title: str) -> str:
    """How many of the files, rows or samples were taken, and why others were not."""
    parts = [f"{found['taken']} of {found['found']} {found['unit']} taken"]
    for key, words in (("passed_over", "passed over"), ("quarantined", "quarantined")):
        if found[key]:
            reasons = [f"{row['count']} × {row['reason']}" for row in found[f"why_{key}"]]
            parts.append(f"{found[key]} {words} ({_some(reasons, 3)})")
    return f"{title}: {'; '.join(parts)}."


def looks_line(found: dict) -> str:
    """What a person should look at, and what was detected automatically."""
    looks = [*found["notes"]]
    if found["unused"]:
        looks.append(f"Columns not used: {_some(found['unused'])}.")
    return f"Look at: {' '.join([*looks, *found['facts']]) or 'nothing odd.'}"


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
