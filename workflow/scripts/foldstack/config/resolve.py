"""The config: checked against the schema, defaults filled in, and cut into the slices that jobs read.

Runs at Snakemake's parse time: standard library, PyYAML and jsonschema only.
"""

import copy
import json
import math
from pathlib import Path

import yaml

from foldstack.config import checks, grid
from foldstack.config.schema import check_schema, child_of, deref, fill_defaults, load_schema, with_numbers
from foldstack.errors import FoldstackError

NOT_DECISIVE = {"seeds", "devices", "share"}  # keys of a model that do not change a run's result


def resolve(raw: dict) -> dict:
    """Check a config and fill in every default.

    Returns:
        A dict with every key of the schema; `models` holds those of `grid` too, and each of its blocks every key of
        `training`, plus `architecture`, `options`, `seeds` and `devices`.

    Raises:
        FoldstackError: naming the key, what is wrong with it, and the remedy.
    """
    schema = load_schema()
    _check_readable(raw)
    config = with_numbers(copy.deepcopy(dict(raw)), schema, schema)
    generated = _expand_grid(config, schema) if config.get("grid") else {}
    try:
        return _resolve(config, schema)
    except FoldstackError as error:
        raise FoldstackError(grid.say_origin(str(error), generated, config.get("grid", {}))) from None


def _resolve(config: dict, schema: dict) -> dict:
    check_schema(config, schema)
    fill_defaults(config, schema, schema)
    for name, block in config["models"].items():
        own = {"architecture": name, "options": {}, "seeds": config["seeds"], "devices": config["devices"]}
        own["pretrained"] = False
        config["models"][name] = config["training"] | own | block
        if "text" in block:
            fill_defaults(block["text"], schema["$defs"]["text"], schema)
    student = config["variants"]["student"]
    if student is not None:
        own = {"options": {}, "seeds": config["seeds"][:1], "devices": config["devices"], "pretrained": False}
        config["variants"]["student"] = config["training"] | own | student
    checks.check(config)
    return config


def _expand_grid(config: dict, schema: dict) -> dict[str, dict]:
    """Bring `grid` into its full form and its models into `models`; returns these."""
    models = config.setdefault("models", {})
    check_schema({"grid": config["grid"]}, schema | {"required": []})
    block = schema["$defs"]["model"]

    def read(key: str | None, value):  # of one key of a model block (`text.lr_scale`), or of a whole one
        node = block
        for part in key.split(".") if key else ():
            node = deref(child_of(node, part), schema)
        return with_numbers(value, node, schema)

    grid.fill(config["grid"], schema["$defs"]["grid"]["properties"]["design"]["default"], read)
    if not isinstance(models, dict):
        return {}
    generated = grid.expand(config["grid"], models, list(block["properties"]))
    models |= generated
    return generated


def check_file(path) -> None:
    """Raise FoldstackError where a YAML block sets a key twice; YAML would silently drop the first."""
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return  # Snakemake reads the file too, and reports what is wrong with it
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:  # an alias may point to a block that contains it
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending += node.value
        elif isinstance(node, yaml.MappingNode):
            pending += [value for _, value in node.value]
            lines: dict[str, int] = {}
            for key, _ in node.value:
                line = key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and lines.setdefault(key.value, line) != line:
                    raise FoldstackError(
                        f"{path}, line {line}: key {key.value!r} is already set on line {lines[key.value]}; "
                        "rename or remove one of them."
                    )


def canonical(value) -> str:
    """JSON with sorted keys: the form in which a slice of the config becomes a job's param."""
    return json.dumps(value, sort_keys=True)


def training_slice(config: dict, model: str) -> dict:
    """The settings that decide the result of a run of `model`, apart from its seed and fold."""
    return {key: value for key, value in config["models"][model].items() if key not in NOT_DECISIVE}


def members(config: dict) -> dict[str, list[int]]:
    """Models and their seeds, sorted, so that their order in the config changes nothing."""
    return {name: sorted(block["seeds"]) for name, block in sorted(config["models"].items())}


def _check_readable(raw) -> None:
    """Refuse what YAML allows but no config needs: keys that are not text, numbers that are not finite, loops."""
    pending: list[tuple[str, object, int]] = [("", raw, 0)]
    while pending:
        where, value, depth = pending.pop()
        if depth > 20:
            raise FoldstackError(f"Config: {where[:80]}... is nested more than 20 levels deep; remove it.")
        if isinstance(value, dict):
            for key, item in value.items():
                name = f"{where}.{key}".lstrip(".")
                if not isinstance(key, str):
                    raise FoldstackError(
                        f"Config: the key {key!r} in {where or 'the top level'} is not text; put it in quotation marks."
                    )
                pending.append((name, item, depth + 1))
        elif isinstance(value, list):
            pending += [(f"{where}.{i}", item, depth + 1) for i, item in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise FoldstackError(f"Config: {where} is {value}; give a finite number.")
