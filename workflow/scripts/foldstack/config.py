"""The config: checked against the schema, defaults filled in, and cut into the slices that jobs read.

Runs at Snakemake's parse time: standard library, PyYAML and jsonschema only.
"""

import copy
import difflib
import json
import math
from pathlib import Path

import jsonschema
import yaml

from foldstack import config_checks, grid
from foldstack.errors import FoldstackError

SCHEMA_PATH = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.yaml"
NOT_DECISIVE = {"seeds", "devices", "share"}  # keys of a model that change no run's result


def load_schema() -> dict:
    """The schema, with `$defs/model` extended by every key of `$defs/training`."""
    schema = yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))
    overrides = copy.deepcopy(schema["$defs"]["training"]["properties"])
    for key in overrides.values():
        key.pop("default")
    schema["$defs"]["model"]["properties"] |= overrides
    return schema


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
    config = _with_numbers(copy.deepcopy(dict(raw)), schema, schema)
    generated = _expand_grid(config, schema) if config.get("grid") else {}
    try:
        return _resolve(config, schema)
    except FoldstackError as error:
        raise FoldstackError(grid.say_origin(str(error), generated, config.get("grid", {}))) from None


def _resolve(config: dict, schema: dict) -> dict:
    _check_schema(config, schema)
    _fill(config, schema, schema)
    for name, block in config["models"].items():
        own = {"architecture": name, "options": {}, "seeds": config["seeds"], "devices": config["devices"]}
        own["pretrained"] = False
        config["models"][name] = config["training"] | own | block
        if "text" in block:
            _fill(block["text"], schema["$defs"]["text"], schema)
    student = config["variants"]["student"]
    if student is not None:
        own = {"options": {}, "seeds": config["seeds"][:1], "devices": config["devices"], "pretrained": False}
        config["variants"]["student"] = config["training"] | own | student
    config_checks.check(config)
    return config


def _check_schema(config: dict, schema: dict) -> None:
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(config), key=lambda error: list(error.path))
    if errors:
        raise FoldstackError(_sentence(errors[0], schema))


def _expand_grid(config: dict, schema: dict) -> dict[str, dict]:
    """Bring `grid` into its full form and its models into `models`; returns these."""
    models = config.setdefault("models", {})
    _check_schema({"grid": config["grid"]}, schema | {"required": []})
    block = schema["$defs"]["model"]

    def read(key: str | None, value):  # of one key of a model block (`text.lr_scale`), or of a whole one
        node = block
        for part in key.split(".") if key else ():
            node = _deref(_child(node, part), schema)
        return _with_numbers(value, node, schema)

    grid.fill(config["grid"], schema["$defs"]["grid"]["properties"]["design"]["default"], read)
    if not isinstance(models, dict):
        return {}
    generated = grid.expand(config["grid"], models, list(block["properties"]))
    models |= generated
    return generated


def check_file(path) -> None:
    """Raise FoldstackError where a key stands twice in one block of a YAML file; YAML would drop the first silently."""
    try:
        root = yaml.compose(Path(path).read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return  # Snakemake has read the file, or says what is wrong with it
    pending, seen = [root], set()
    while pending:
        node = pending.pop()
        if id(node) in seen:  # an alias may point to a block that holds it
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
                        f"{path}, line {line}: the key {key.value!r} already stands in line {lines[key.value]}; "
                        "rename or remove one of them."
                    )


def canonical(value) -> str:
    """JSON with sorted keys: the form in which a slice of the config becomes a job's param."""
    return json.dumps(value, sort_keys=True)


def training_slice(config: dict, model: str) -> dict:
    """What decides the result of a run of `model`, apart from its seed and fold."""
    return {key: value for key, value in config["models"][model].items() if key not in NOT_DECISIVE}


def members(config: dict) -> dict[str, list[int]]:
    """Models and their seeds, sorted, so that their order in the config changes nothing."""
    return {name: sorted(block["seeds"]) for name, block in sorted(config["models"].items())}


def _check_readable(raw) -> None:
    """Refuse what YAML can hold and no config means: keys that are no text, numbers that are not finite, loops."""
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
                        f"Config: the key {key!r} in {where or 'the top level'} is no text; put it in quotation marks."
                    )
                pending.append((name, item, depth + 1))
        elif isinstance(value, list):
            pending += [(f"{where}.{i}", item, depth + 1) for i, item in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise FoldstackError(f"Config: {where} is {value}; give a finite number.")


def _with_numbers(value, node: dict, schema: dict):
    """Read numbers that YAML 1.1 takes for text (`1e-3`), and give whole and real numbers one form each."""
    node = _deref(node, schema)
    if value is None and node.get("type") == "object":
        return {}  # `resnet18:` with nothing behind it
    if isinstance(value, dict):
        return {key: _with_numbers(item, _child(node, key), schema) for key, item in value.items()}
    kinds = node.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not {"number", "integer"} & set(kinds) or isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        if not math.isfinite(number):
            return value
        value = number
    if isinstance(value, (int, float)):
        if "number" in kinds:
            return float(value) if abs(value) < 1e300 else value
        if float(value).is_integer():
            return int(value)
    return value


def _fill(value: dict, node: dict, schema: dict) -> None:
    node = _deref(node, schema)
    for key, child in node.get("properties", {}).items():
        resolved = _deref(child, schema)
        default = child.get("default", resolved.get("default", _fill))
        if key not in value and default is not _fill:
            value[key] = copy.deepcopy(default)
        if isinstance(value.get(key), dict) and "properties" in resolved:
            _fill(value[key], child, schema)


def _deref(node: dict, schema: dict) -> dict:
    reference = node.get("$ref") or (node["allOf"][0]["$ref"] if "allOf" in node else None)
    return schema["$defs"][reference.rsplit("/", 1)[1]] if reference else node


def _child(node: dict, key: str) -> dict:
    extra = node.get("additionalProperties")
    return node.get("properties", {}).get(key, extra if isinstance(extra, dict) else {})


def _sentence(error: jsonschema.ValidationError, schema: dict) -> str:
    where = ".".join(str(part) for part in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        near = difflib.get_close_matches(str(unknown), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}."
        return f"Config: unknown key {unknown!r} in {where}; {hint}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"Config: {where} lacks the key {missing!r}; see config/README.md."
    if error.validator == "enum":
        allowed = [str(choice) for choice in error.validator_value]
        near = difflib.get_close_matches(str(error.instance), allowed, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(allowed)}."
        return f"Config: {where} is {error.instance!r}; {hint}"
    if error.validator == "pattern":
        return (
            f"Config: the name {error.instance!r} in {where} must start with a letter or digit and hold only letters, "
            "digits, '.', '_' and '-'."
        )
    if error.validator == "anyOf":
        layers = where.endswith("text.train")
        wanted = "frozen, all or a number of layers" if layers else "one whole number, [height, width] or null"
        return f"Config: {where} is {error.instance!r}; give {wanted}."
    return f"Config: {where}: {error.message}; see config/README.md."
