"""The config's sections `data` and `predict` with every default, for tests that read data without a whole config."""

from foldstack.config.schema import load_schema


def section(name: str, **given) -> dict:
    """A section as `config.resolve` would give it."""
    properties = load_schema()["properties"][name]["properties"]
    return {key: node["default"] for key, node in properties.items()} | given


DATA = section("data")
PREDICT = section("predict")
