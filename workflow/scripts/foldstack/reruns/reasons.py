"""Why would a job run? Snakemake's reasons, which print whole configs and lists of digests, in plain words.

Standard library only: it runs at Snakemake's parse time. A reason that is not understood stays as it is.
"""

import ast
import json
import logging
import re
from pathlib import PurePosixPath

from foldstack.reruns import code_digest
from foldstack.runs import RUN_RULE

PARAMS = re.compile(r"Params have changed since last execution: .*?output: before: (?P<changes>.*)", re.DOTALL)
CODE = re.compile(r"[0-9a-f]{16}")
CONTENT = re.compile(r"data (?P<data>\w+) folds (?P<folds>\w+)")
SHOWN = 4  # files, modules or keys named before the rest is counted
FOLLOWS = "follows from "
PLAIN = {
    "Forced execution": "asked for, or was interrupted",
    "Incomplete output files": "was interrupted",
    "Set of input files has changed since last execution": "models, seeds or folds were added or removed",
    "Code has changed since last execution": "code changed",
    "Software environment definition has changed since last execution": "software environment changed",
}


def in_words(reason: str, rule: str, wildcards: dict[str, str]) -> str:
    """One line such as "resnet18: epochs 30 → 50; code: foldstack/losses.py changed".

    Args:
        reason: Snakemake's text (9.27).
        rule, wildcards: of the job.
    """
    text = reason.strip()
    found, params = [], PARAMS.search(text)
    if params:
        changes, _, rest = params["changes"].partition(" ; ")
        changed = _params_in_words(changes.strip(), rule, wildcards)
        if not changed:
            return reason
        found += changed
        text = f"{text[: params.start()]}; {rest}"
    for clause in filter(None, (part.strip() for part in text.split("; "))):
        head, _, files = clause.partition(": ")
        if head == "Missing output files":
            found.insert(0, "new run" if rule == RUN_RULE else "not made yet")
        elif head == "Updated input files":
            found.append(f"changed on disk: {_some(sorted(files.split(', ')))}")
        elif head == "Input files updated by another job":
            found.append(FOLLOWS + _some(sorted({_stage(path) for path in files.split(", ")})))
        elif head in PLAIN:
            found.append(PLAIN[head])
        else:
            return reason
    if len(found) > 1:  # what a job follows from matters only where it has no cause of its own
        found = [cause for cause in found if not cause.startswith(FOLLOWS)]
    return "; ".join(dict.fromkeys(found)) or reason


class InWords(logging.Filter):
    """Rewrites the reason of each job that Snakemake logs; attach it once with `attach`."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(getattr(record, "event", "") or "") == "job_info" and getattr(record, "reason", None):
            said = vars(record)  # with what Snakemake adds
            said["reason"] = in_words(said["reason"], said["rule_name"], dict(said["wildcards"] or {}))
        return True


def attach(logger: logging.Logger) -> None:
    """Make Snakemake's own `logger` give reasons in plain words; a filter of the logger reaches its log files too."""
    if not any(isinstance(known, InWords) for known in logger.filters):
        logger.addFilter(InWords())


def _params_in_words(changes: str, rule: str, wildcards: dict[str, str]) -> list[str]:
    """Causes from `<reprs> now: <reprs>`; empty where they cannot be read."""
    for cut in re.finditer(r" now: ", changes):
        try:
            before, now = _values(changes[: cut.start()]), _values(changes[cut.end() :])
        except (SyntaxError, ValueError):
            continue
        return _compare(before, now, rule, wildcards)
    return []


def _values(text: str) -> list:
    """Python values from their reprs, joined by commas as Snakemake does."""
    return [] if text.strip() == "<nothing exclusive>" else ast.literal_eval(f"[{text}]")


def _compare(before: list, now: list, rule: str, wildcards: dict[str, str]) -> list[str]:
    causes = []
    for kind, describe in (("config", _config), ("code", _code), ("content", _content), ("source", None)):
        old, new = ([value for value in values if _kind(value) == kind] for values in (before, now))
        if not old and not new:
            continue
        if not old or not new or describe is None:
            causes.append("images changed" if kind == "source" else f"{kind} changed")
        elif kind == "config" and wildcards.get("model"):
            causes.append(f"{wildcards['model']}: {describe(old[0], new[0])}")
        else:
            causes.append(describe(old[0], new[0]))
    return causes


def _kind(value) -> str:
    if isinstance(value, list) or (isinstance(value, str) and CODE.fullmatch(value)):  # a list: of older versions
        return "code"
    if isinstance(value, str) and value.startswith("{"):
        return "config"
    return "content" if isinstance(value, str) and CONTENT.fullmatch(value) else "source"


def _code(before: str | list, now: str) -> str:
    """Names the files, where both digests are known here."""
    old, new = (code_digest.recall(digest) if isinstance(digest, str) else None for digest in (before, now))
    names = code_digest.changed_files(old, new) if old and new else []
    return f"code: {_some(names)} changed" if names else "code changed"


def _content(before: str, now: str) -> str:
    old, new = CONTENT.fullmatch(before), CONTENT.fullmatch(now)
    return "folds changed" if old and new and old["data"] == new["data"] else "data changed"


def _config(before: str, now: str) -> str:
    old, new = flat(json.loads(before)), flat(json.loads(now))
    members = {key for key in old.keys() | new.keys() if key.startswith("members.")}
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key, ...) != new.get(key, ...)]
    parts = [_member(key, old, new) if key in members else _key(key, old, new) for key in changed]
    return _some(parts)


def flat(tree: dict, prefix: str = "") -> dict:
    """{"a.b": leaf} of nested dicts; an empty dict is a leaf."""
    found: dict = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _member(key: str, old: dict, new: dict) -> str:
    model = key.removeprefix("members.")
    if key not in old:
        return f"{model} added"
    return f"seeds of {model} {_value(old[key])} → {_value(new[key])}" if key in new else f"{model} removed"


def _key(key: str, old: dict, new: dict) -> str:
    sides = (_value(side[key]) if key in side else "none" for side in (old, new))
    return f"{key} {' → '.join(sides)}"


def _value(value) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _stage(path: str) -> str:
    """`results/digits/models/vit/seed0/fold0/run.json` -> `models/vit`: which part of the results a file is of."""
    parts = PurePosixPath(path).parts[2:] or (path,)
    return "/".join(parts[:2]) if parts[0] in ("models", "oof", "test") else parts[0]


def _some(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
