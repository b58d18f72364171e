"""Write config/README.md from the schema (`make docs`); tests/workflow/test_docs.py keeps the two in step."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from foldstack.config.schema import load_schema  # noqa: E402

HEAD = """# The config

One YAML (or JSON) file describes an experiment. `config/config.yaml` runs as it is and is the demo; give another with
`--configfile`. A key that is not listed here is refused, with the nearest name that is. Changing a value reruns only
what it invalidates; a comment, the order of keys or `0.1` for `1e-1` changes nothing.

This page is made from `workflow/schemas/config.schema.yaml` by `make docs`.
"""
MODELS = """## models

One block a base model; the block's key is the model's name in paths, tables and the report. Besides these keys a block
may hold every key of `training`, which it overrides for this model:

```yaml
training: {epochs: 30, lr: 0.001}
models:
  resnet18: {}                                    # a timm model by its own name
  wide: {architecture: small_cnn, options: {width: 64}, epochs: 50}
  vit: {architecture: vit_tiny_patch16_224, image_size: 224, lr: 0.0005, seeds: [0, 1, 2]}
```
"""
GRID = """## grid

One block a grid; its key begins the names of its models. Each factor is a list; its items are values of the key that it
is named after, or labelled settings:

```yaml
grid:
  ablation:
    design: one_at_a_time                         # the baseline, then each other level alone
    model: {architecture: small_cnn, epochs: 20}
    factors:
      augmentation: [none, standard, strong]      # values of a key
      options.width: [16, 32]                     # an option of the architecture
      depth:                                      # a name of your own
        - three: {options: {stages: 3}}
        - four: {options: {stages: 4}, epochs: 30}
```

gives `ablation-baseline`, `ablation-standard`, `ablation-strong`, `ablation-four` and `ablation-width32`.
"""
TEXT = """The architecture `clip` has a block `text` besides ([images and text](../docs/how-to/text.md)):
"""
MODEL_KEYS = ("architecture", "options", "pretrained", "seeds")


def reference() -> str:
    """The whole page as Markdown."""
    schema = load_schema()
    sections, top = [], {}
    for key, node in schema["properties"].items():
        properties = _deref(node, schema).get("properties")
        if key == "models":
            own = {name: schema["$defs"]["model"]["properties"][name] for name in MODEL_KEYS}
            texts = schema["$defs"]["text"]["properties"]
            sections.append(f"{MODELS}\n{_table(own, schema)}\n{TEXT}\n{_table(texts, schema)}")
        elif key == "grid":
            sections.append(f"{GRID}\n{_table(schema['$defs']['grid']['properties'], schema)}")
        elif properties:
            sections.append(f"## {key}\n\n{node['description']}\n\n{_table(properties, schema)}")
        else:
            top[key] = node
    return "\n".join([HEAD, f"## Top level\n\n{_table(top, schema)}", *sections])


def _table(properties: dict, schema: dict) -> str:
    rows = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key, node in properties.items():
        full = _deref(node, schema) | node
        default = f"`{json.dumps(full['default'])}`" if "default" in full else ""
        rows.append(f"| `{key}` | {_values(full)} | {default} | {full.get('description', '')} |")
    return "\n".join(rows) + "\n"


def _values(node: dict) -> str:
    if "enum" in node:
        return ", ".join(f"`{choice}`" for choice in node["enum"])
    if "anyOf" in node:
        return " or ".join(_values(choice) for choice in node["anyOf"])
    if "then" in node:  # some texts beside numbers, or a list of them
        texts = ", ".join(f"`{text}`" for text in node["then"].get("enum", [node["then"].get("const")]))
        other = next(kind for kind in node["type"] if kind != "string")
        return f"{texts} or {_values({key: value for key, value in node.items() if key != 'then'} | {'type': other})}"
    kinds = node.get("type", "")
    names = {"null": "`null`", "string": "text", "integer": "whole number", "array": "list", "object": "mapping"}
    text = " or ".join(names.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    if kinds == "array":
        return f"list of {_values(node['items'])}"
    bounds = [
        f"{sign} {node[key]}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in node
    ]
    return f"{text} {', '.join(bounds)}".strip()


def _deref(node: dict, schema: dict) -> dict:
    reference = node.get("$ref") or (node["allOf"][0]["$ref"] if "allOf" in node else None)
    return schema["$defs"][reference.rsplit("/", 1)[1]] if reference else node


if __name__ == "__main__":
    (ROOT / "config" / "README.md").write_text(reference(), encoding="utf-8")
