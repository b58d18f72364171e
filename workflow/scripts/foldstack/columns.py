"""Match our column names to those of a table (or the keys of an archive); standard library only.

Nothing is guessed: a name that only resembles one of ours is refused, with the one that was probably meant.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from foldstack.errors import FoldstackError

USUAL = {  # what other people call our required columns; used in hints only
    "path": (
        *("filename", "filepath", "file", "imagepath", "imageid", "image", "imagename"),
        *("img", "imgid", "imgpath", "id"),
    ),
    "label": ("class", "target", "diagnosis", "category", "labels", "classname", "y"),
    "x": ("images", "image", "data", "pixels"),
    "y": ("label", "labels", "target", "targets"),
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """What was found.

    Attributes:
        used: our name -> the table's name; for `label` it may be a list of names, one column a class.
        unused: the table's other names, in their order.
    """

    used: dict[str, str | list[str]]
    unused: list[str]


def resolve(
    names: Sequence[str],
    given: dict,
    *,
    required: Sequence[str],
    optional: Sequence[str],
    where: str,
    key: str,
    noun: str = "column",
) -> Columns:
    """Find our columns among a table's.

    Args:
        names: the table's names.
        given: `columns` of the config: our name -> the table's, or null for "none, even if there is one".
        required, optional: our names.
        where: the file, for messages; key: the config's key, such as `data.columns`.

    Raises:
        FoldstackError: a name that occurs twice, is missing, or only resembles an optional one of ours.
    """
    twice = next((name for i, name in enumerate(names) if name and name in names[:i]), None)
    if twice is not None:
        raise FoldstackError(f"{where} has two {noun}s {twice!r}; rename or remove one of them.")
    used: dict[str, str | list[str]] = {}
    for ours in (*required, *optional):
        wanted = given.get(ours)
        if wanted is not None:
            for name in [wanted] if isinstance(wanted, str) else wanted:
                if name not in names:
                    raise FoldstackError(_not_there(name, ours, names, where, key, noun))
            used[ours] = wanted
        elif ours in given:
            continue
        elif ours in names:
            used[ours] = ours
        elif ours in required:
            raise FoldstackError(_missing(ours, names, where, key, noun))
    taken = {name for value in used.values() for name in ([value] if isinstance(value, str) else value)}
    unused = [name for name in names if name and name not in taken]
    for ours in optional:
        if ours not in used and ours not in given:
            near = next((name for name in unused if _bare(name) == ours), None)
            if near is not None:
                raise FoldstackError(
                    f"{where} has a {noun} {near!r}: did you mean {ours!r}? Rename it, or set {key}: "
                    f"{{{ours}: {near}}}, or {{{ours}: null}} where it is something else."
                )
    return Columns(used, unused)


def _bare(name: str) -> str:
    """A name without the parts that people vary: case, blanks and punctuation, a plural s, `id`."""
    text = re.sub(r"[\W_]+", "", name.casefold())
    return text.removesuffix("ids").removesuffix("id").removesuffix("s") or text


def _not_there(name: str, ours: str, names: Sequence[str], where: str, key: str, noun: str) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {_listed(names)}."
    return f"{key}: {ours} is {name!r}, but {where} has no such {noun}; {hint}"


def _missing(ours: str, names: Sequence[str], where: str, key: str, noun: str) -> str:
    usual = (ours, *USUAL.get(ours, ()))
    by_text = {re.sub(r"[\W_]+", "", name.casefold()): name for name in names}
    near = next((by_text[text] for text in usual if text in by_text), None)
    example = near if near is not None else f"<its {ours}>"
    return (
        f"{where} has no {noun} {ours!r}, only {_listed(names)}; name the one to use instead: "
        f"{key}: {{{ours}: {example}}}."
    )


def _listed(names: Sequence[str]) -> str:
    return f"{list(names[:20])}{' and more' if len(names) > 20 else ''}"
