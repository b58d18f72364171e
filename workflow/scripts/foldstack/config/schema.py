"""The config's schema: read it, check a config against it, fill in its defaults; one sentence for each mistake."""

import copy
import datetime
import difflib
import math
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from foldstack.errors import FoldstackError

SCHEMA_PATH = Path(__file__).resolve().parents[3] / "schemas" / "config.schema.yaml"


def load_schema() -> dict:
    """The schema, with `$defs/model` extended by every key of `$defs/training`."""
    text = SCHEMA_PATH.read_text(encoding="utf-8")
    schema = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # the former is ten times as fast
    overrides = copy.deepcopy(schema["$defs"]["training"]["properties"])
    for key in overrides.values():
        key.pop("default")
    schema["$defs"]["model"]["properties"] |= overrides
    return schema


def check_schema(config: dict, schema: dict) -> None:
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(config), key=lambda error: list(error.path))
    if errors:
        raise FoldstackError(_sentence(errors[0], schema))


def with_numbers(value, node: dict, schema: dict):
    """Read numbers that YAML 1.1 takes for text (`1e-3`), and give whole and real numbers one form each."""
    node = deref(node, schema)
    if value is None and node.get("type") == "object":
        return {}  # `resnet18:` with nothing after it
    if isinstance(value, dict):
        return {key: with_numbers(item, child_of(node, key), schema) for key, item in value.items()}
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


def fill_defaults(value: dict, node: dict, schema: dict) -> None:
    node = deref(node, schema)
    for key, child in node.get("properties", {}).items():
        resolved = deref(child, schema)
        default = child.get("default", resolved.get("default", fill_defaults))
        if key not in value and default is not fill_defaults:
            value[key] = copy.deepcopy(default)
        if isinstance(value.get(key), dict) and "properties" in resolved:
            fill_defaults(value[key], child, schema)


def deref(node: dict, schema: dict) -> dict:
    reference = node.get("$ref") or (node["allOf"][0]["$ref"] if "allOf" in node else None)
    return schema["$defs"][reference.rsplit("/", 1)[1]] if reference else node


def child_of(node: dict, key: str) -> dict:
    extra = node.get("additionalProperties")
    return node.get("properties", {}).get(key, extra if isinstance(extra, dict) else {})


KINDS = {
    "object": "a block of keys",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def _shown(value) -> str:
    """A value as a person wrote it; YAML reads `2024-05-01` as a date."""
    return str(value) if isinstance(value, datetime.date) else repr(value)


def _wanted(error: jsonschema.ValidationError) -> str:
    asked: Any = error.validator_value
    kinds = [asked] if isinstance(asked, str) else list(asked)
    if list(error.absolute_path) == ["models"] and isinstance(error.instance, list):
        return "write one line for each model, `resnet18:`, instead of a list"
    if "string" in kinds and isinstance(error.instance, (int, float, datetime.date)):
        return "put it in quotation marks, since it is to be text"
    return f"give {' or '.join(KINDS[kind] for kind in kinds)}"


def _sentence(error: jsonschema.ValidationError, schema: dict) -> str:
    # The stubs of jsonschema allow for errors that no schema was set for; those that it raises have one.
    where = ".".join(str(part) for part in error.absolute_path) or "the top level"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))  # type: ignore[union-attr]
        unknown = next(key for key in error.instance if key not in known)  # type: ignore[union-attr]
        near = difflib.get_close_matches(str(unknown), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}."
        return f"Config: unknown key {unknown!r} in {where}; {hint}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)  # type: ignore[union-attr, operator]
        return f"Config: {where} needs the key {missing!r}; see config/README.md."
    if error.validator == "enum":
        allowed = [str(choice) for choice in error.validator_value]  # type: ignore[union-attr]
        near = difflib.get_close_matches(str(error.instance), allowed, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(allowed)}."
        return f"Config: {where} is {error.instance!r}; {hint}"
    if error.validator == "pattern":
        return (
            f"Config: the name {error.instance!r} in {where} must start with a letter or digit and hold only letters, "
            "digits, '.', '_' and '-'."
        )
    if error.validator == "type":
        return f"Config: {where} is {_shown(error.instance)}; {_wanted(error)}."
    if error.validator == "anyOf":
        layers = where.endswith("text.train")
        wanted = "frozen, all or a number of layers" if layers else "one whole number, [height, width] or null"
        return f"Config: {where} is {error.instance!r}; give {wanted}."
    return f"Config: {where}: {error.message}; see config/README.md."
