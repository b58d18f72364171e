"""The config's `grid`: lists of values become models, one for each combination or each single change.

A factor is a key of a model block with its values (`lr: [0.1, 0.01]`, `options.width: [16, 32]`), or a name of the
user's with labelled settings (`depth: [shallow: {...}, deep: {...}]`). The first level of each factor is its baseline;
factors are sorted by name, so that the order of keys changes nothing.

Runs at Snakemake's parse time: standard library only.
"""

import copy
import difflib
import itertools
import json
import re
from collections.abc import Callable, Iterator

from foldstack.errors import FoldstackError

MOST_MODELS = 1000
LONGEST_NAME = 120
COMBINATIONS = "combinations"
NESTED = ("options", "text", "augment")  # keys of a model block whose parts may be factors
SAFE = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")


def expand(grids: dict, models: dict, known: list[str]) -> dict[str, dict]:
    """{model: its block} of all grids, which `config` has checked against the schema and filled.

    Args:
        models: the blocks that the config names itself; no name may come twice.
        known: keys of a model block.

    Raises:
        FoldstackError: naming the factor, what is wrong and the remedy.
    """
    found: dict[str, dict] = {}
    taken = {name.lower(): f"models.{name}" for name in models}
    for grid, spec in grids.items():
        factors = {name: _levels(grid, name, levels, known) for name, levels in sorted(spec["factors"].items())}
        _check_factors(grid, spec, factors)
        for chosen in _chosen(spec, factors):
            name = _name(grid, spec, factors, chosen)
            if len(name) > LONGEST_NAME:
                raise FoldstackError(
                    f"Config: grid.{grid}: the model name {name!r} has more than {LONGEST_NAME} letters; give the "
                    "levels short labels, as in `- short: {key: value}`."
                )
            if name.lower() in taken:
                raise FoldstackError(
                    f"Config: grid.{grid} makes a model {name!r}, but {taken[name.lower()]} has that name already; "
                    "rename the grid or label its levels, as in `- short: {key: value}`."
                )
            taken[name.lower()] = f"grid.{grid}"
            found[name] = copy.deepcopy(spec["model"])
            for factor, level in chosen.items():
                for key, value in factors[factor][level]["settings"].items():
                    _put(found[name], key.split("."), copy.deepcopy(value))
    return found


def fill(grids: dict, design: str, read: Callable) -> None:
    """Fill in defaults of grids; read(key, value) normalises one value, read(None, block) a whole block."""
    for grid, spec in grids.items():
        spec.setdefault("design", design)
        spec.setdefault("model", {})
        for factor, levels in spec["factors"].items():
            for i, value in enumerate(levels):
                if isinstance(value, dict):
                    label, settings = labelled(f"grid.{grid}.factors.{factor}", value)
                    levels[i] = {label: read(None, settings)}
                else:
                    levels[i] = read(factor, value)


def layout(grids: dict) -> dict[str, dict]:
    """{grid: {"factors": {factor: [levels, the baseline first]}, "models": {model: {factor: level}}}}."""
    found = {}
    for grid, spec in grids.items():
        factors = {name: _levels(grid, name, levels) for name, levels in sorted(spec["factors"].items())}
        models = {_name(grid, spec, factors, chosen): chosen for chosen in _chosen(spec, factors)}
        found[grid] = {"factors": {name: list(levels) for name, levels in factors.items()}, "models": models}
    return found


def self_contained(grids: dict, defaults: dict) -> dict:
    """The same grids with the config's training defaults filled in."""
    return {name: spec | {"model": defaults | spec["model"]} for name, spec in grids.items()}


def say_origin(message: str, generated: dict[str, dict], grids: dict) -> str:
    """The message with the grid in place of a generated model's block, which the user's file does not have."""
    for name in sorted(generated, key=len, reverse=True):
        found = re.search(rf"models\.{re.escape(name)}(?![A-Za-z0-9_-]|\.\d)", message)
        if found:
            grid = next(grid for grid, spec in layout(grids).items() if name in spec["models"])
            return message.replace(found[0], f"grid.{grid} (model {name})")
    return message


def _levels(grid: str, factor: str, levels, known: list[str] | None = None) -> dict[str, dict]:
    """{level: {"token": its part of a model's name, "settings": {dotted key: value}}} of one factor, in order."""
    where, found = f"grid.{grid}.factors.{factor}", {}
    for number, value in enumerate(levels):
        if isinstance(value, dict):
            level, settings = labelled(where, value)
            token, settings = level, _flat(settings)
        else:
            level = value if isinstance(value, str) else json.dumps(value)
            token, settings = _token(factor.rpartition(".")[2], value, number), {factor: value}
        if known is not None:
            _check_keys(f"{where}.{level}" if isinstance(value, dict) else f"grid.{grid}.factors", settings, known)
        if level in found:
            raise FoldstackError(f"Config: {where} has {level} twice; remove one.")
        found[level] = {"token": token, "settings": settings}
    return found


def labelled(where: str, value: dict) -> tuple[str, dict]:
    """(label, settings) of a level like `{deep: {epochs: 40}}`; `where` is the factor."""
    label, settings = next(iter(value.items())) if len(value) == 1 else ("", None)
    if not SAFE.fullmatch(label) or not isinstance(settings, (dict, type(None))):
        raise FoldstackError(
            f"Config: {where}: a level of several settings needs a label of letters, digits, '.', '_' and '-', as in "
            "`- deep: {epochs: 40}`."
        )
    return label, settings or {}


def _check_keys(where: str, settings: dict, known: list[str]) -> None:
    for key in settings:
        first, *rest = key.split(".")
        if first not in known:
            near = difflib.get_close_matches(first, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}."
            raise FoldstackError(f"Config: {where}: a model has no key {first!r}; {hint}")
        if (rest and first not in NESTED) or not all(rest):
            raise FoldstackError(f"Config: {where}: {first} has no parts such as {key!r}; {' and '.join(NESTED)} have.")


def _check_factors(grid: str, spec: dict, factors: dict) -> None:
    """Refuse a key set by two factors, a missing architecture, and too many models."""
    owner: dict[str, str] = {}
    for factor, levels in factors.items():
        for key in {key for level in levels.values() for key in level["settings"]}:
            if owner.setdefault(key, factor) != factor:
                raise FoldstackError(
                    f"Config: grid.{grid}: the factors {owner[key]!r} and {factor!r} both set {key}; leave it to one."
                )
    for key in owner:
        whole = key.partition(".")[0]
        if whole != key and whole in owner:
            raise FoldstackError(
                f"Config: grid.{grid}: the factor {owner[whole]!r} sets {whole}, and {owner[key]!r} its part {key}; "
                "give both as parts."
            )
    if "architecture" not in spec["model"] and "architecture" not in owner:
        raise FoldstackError(
            f"Config: grid.{grid} names no architecture; set it in grid.{grid}.model or in a factor of that name."
        )
    number = 1
    for levels in factors.values():
        number *= len(levels)
    if spec["design"] == COMBINATIONS and number > MOST_MODELS:
        raise FoldstackError(
            f"Config: grid.{grid} has {number:,} combinations, more than {MOST_MODELS:,}; shorten its lists or set "
            "design: one_at_a_time."
        )


def _chosen(spec: dict, factors: dict) -> Iterator[dict[str, str]]:
    """{factor: level} of each model, the baseline first."""
    baseline = {factor: next(iter(levels)) for factor, levels in factors.items()}
    if spec["design"] == COMBINATIONS:
        yield from (dict(zip(factors, levels, strict=True)) for levels in itertools.product(*factors.values()))
        return
    yield baseline
    for factor, levels in factors.items():
        yield from (baseline | {factor: level} for level in list(levels)[1:])


def _name(grid: str, spec: dict, factors: dict, chosen: dict[str, str]) -> str:
    parts = {factor: factors[factor][level]["token"] for factor, level in chosen.items()}
    if spec["design"] != COMBINATIONS:
        parts = {factor: part for factor, part in parts.items() if chosen[factor] != next(iter(factors[factor]))}
        parts = parts or {"": "baseline"}
    return "-".join([grid, *parts.values()])


def _token(key: str, value, number: int) -> str:
    """What a model's name says of a value: safe as a file's name, and short."""
    if value is None or isinstance(value, bool):
        return key if value else f"no-{key}"
    if isinstance(value, str):
        # Of a path only the end; other names keep both sides of a slash.
        text = value.rstrip("/").rpartition("/")[2] if re.match(r"[./~]", value) else value
        return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or f"{key}{number}"
    if isinstance(value, list):
        return key + "-".join(re.sub(r"[^A-Za-z0-9._]+", "", str(item)) for item in value)
    return key + json.dumps(value).removesuffix(".0").replace("+", "")


def _flat(settings: dict) -> dict:
    """{dotted key: value}: the parts of NESTED one by one, so that two factors may each set some."""
    found: dict = {}
    for key, value in settings.items():
        if key in NESTED and isinstance(value, dict):
            found |= {f"{key}.{part}": item for part, item in value.items()}
        else:
            found[key] = value
    return found


def _put(block: dict, path: list[str], value) -> None:
    for part in path[:-1]:
        block = block.setdefault(part, {})
    block[path[-1]] = value
