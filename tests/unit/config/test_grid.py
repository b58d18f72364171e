"""foldstack.config.grid, through the config: the models that lists of values become, their names, and each mistake."""

import json
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack.config import grid
from foldstack.config import resolve as configuration
from foldstack.errors import FoldstackError

CNN = {"architecture": "small_cnn"}


def resolve(spec: dict, name: str = "g", **others) -> dict:
    return configuration.resolve({"experiment": "tiny", "grid": {name: spec}} | others)


def blocks(spec: dict, *keys: str, **others) -> dict:
    """{model: its values of `keys`}."""
    models = resolve(spec, **others)["models"]
    return {model: tuple(block[key] for key in keys) for model, block in models.items()}


def test_combinations_are_the_product_of_all_levels():
    spec = {"model": CNN, "factors": {"lr": ["1e-3", 0.01], "options.width": [8, 16]}}
    assert blocks(spec, "lr", "options") == {
        "g-lr0.001-width8": (0.001, {"width": 8}),
        "g-lr0.001-width16": (0.001, {"width": 16}),
        "g-lr0.01-width8": (0.01, {"width": 8}),
        "g-lr0.01-width16": (0.01, {"width": 16}),
    }


def test_one_at_a_time_changes_one_thing_against_the_baseline():
    spec = {
        "design": "one_at_a_time",
        "model": {"epochs": 3},
        "factors": {
            "network": [{"plain": CNN}, {"residual": {"architecture": "small_resnet", "options": {"width": 4}}}],
            "augmentation": ["none", "strong", "medical"],
        },
    }
    assert blocks(spec, "architecture", "augmentation", "options", "epochs") == {
        "g-baseline": ("small_cnn", "none", {}, 3),
        "g-residual": ("small_resnet", "none", {"width": 4}, 3),
        "g-strong": ("small_cnn", "strong", {}, 3),
        "g-medical": ("small_cnn", "medical", {}, 3),
    }


def test_a_grid_overrides_training_and_stands_beside_models_and_other_grids():
    raw = {"experiment": "x", "training": {"epochs": 9, "lr": 0.5}, "seeds": [3], "models": {"small_cnn": None}}
    raw["grid"] = {"a": {"model": CNN, "factors": {"lr": [0.1]}}, "b": {"model": CNN, "factors": {"epochs": [1]}}}
    models = configuration.resolve(raw)["models"]
    assert {name: (block["lr"], block["epochs"]) for name, block in models.items()} == {
        "small_cnn": (0.5, 9),
        "a-lr0.1": (0.1, 9),
        "b-epochs1": (0.5, 1),
    }
    assert all(block["seeds"] == [3] for block in models.values())


def test_two_factors_may_each_set_options():
    factors = {"b": [{"y": {"options": {"stages": 1}}}, {"z": None}], "a": [{"x": {"options": {"width": 4}}}]}
    found = blocks({"model": {**CNN, "options": {"dropout": 0.1}}, "factors": factors}, "options")
    assert found["g-x-y"] == ({"dropout": 0.1, "width": 4, "stages": 1},)
    assert found["g-x-z"] == ({"dropout": 0.1, "width": 4},)


NAMES = [
    ("architecture", ["resnet18"], "g-resnet18"),
    ("swap", [False], "g-no-swap"),
    ("early_stopping", [None], "g-no-early_stopping"),
    ("image_size", [[32, 64]], "g-image_size32-64"),
    ("weight_decay", [1.0], "g-weight_decay1"),
    ("lr", ["1e-5"], "g-lr1e-05"),
]


@pytest.mark.parametrize(("key", "values", "expected"), NAMES)
def test_names_say_the_value(key, values, expected):
    model = {} if key == "architecture" else CNN
    assert list(blocks({"model": model, "factors": {key: values}})) == [expected]


@pytest.mark.parametrize(
    ("text", "token"), [("clip:ViT-B/32", "clip-ViT-B-32"), ("/data/text/minilm/", "minilm"), ("语言", "text2")]
)
def test_names_of_models_elsewhere_become_safe(text, token):
    assert grid._token("text", text, 2) == token


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)


@settings(max_examples=80, deadline=None)
@given(st.lists(SCALARS, min_size=1, max_size=4), st.sampled_from(["combinations", "one_at_a_time"]))
def test_any_value_gives_a_safe_name_or_a_sentence(values, design):
    spec = {"design": design, "model": CNN, "factors": {"optimizer": values, "lr": [0.1, 0.2]}}
    try:
        models = grid.expand({"g": spec}, {}, ["architecture", "optimizer", "lr"])
    except FoldstackError as error:
        models = str(error)
    if isinstance(models, str):
        assert models.startswith("Config: grid.g")
        return
    assert len(models) == (2 * len(values) if design == "combinations" else len(values) + 1)
    assert all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", name) for name in models)
    assert set(grid.layout({"g": spec})["g"]["models"]) == set(models)


MISTAKES = {
    "unknown factor": (
        {"model": CNN, "factors": {"lrr": [1]}},
        "grid.g.factors: a model has no key 'lrr'; did you mean 'lr'?",
    ),
    "unknown key of a level": (
        {"model": CNN, "factors": {"a": [{"x": {"epoch": 1}}]}},
        "grid.g.factors.a.x: a model has no key 'epoch'; did you mean 'epochs'?",
    ),
    "unknown key": ({"modle": CNN, "factors": {"lr": [1]}}, "unknown key 'modle' in grid.g; did you mean 'model'?"),
    "unknown key of the model": (
        {"model": {"lrr": 1}, "factors": {"lr": [1]}},
        "unknown key 'lrr' in grid.g.model; did",
    ),
    "unknown option": (
        {"model": CNN, "factors": {"options.widht": [1]}},
        "grid.g (model g-widht1).options: 'small_cnn' has no option",
    ),
    "parts of a number": ({"model": CNN, "factors": {"lr.x": [1]}}, "lr has no parts such as 'lr.x'"),
    "misspelt design": (
        {"design": "one", "model": CNN, "factors": {"lr": [1]}},
        "grid.g.design is 'one'; choose one of combinations",
    ),
    "wrong value": (
        {"model": CNN, "factors": {"lr": [0.1, 99]}},
        "grid.g (model g-lr99).lr: 99.0 is greater than the maximum",
    ),
    "no factors": ({"model": CNN}, "grid.g needs the key 'factors'"),
    "an empty list": ({"model": CNN, "factors": {"lr": []}}, "grid.g.factors.lr: [] should be non-empty"),
    "no architecture": ({"factors": {"lr": [0.1]}}, "grid.g names no architecture"),
    "unknown architecture": (
        {"factors": {"architecture": ["resnet19"]}},
        "grid.g (model g-resnet19): there is no architecture",
    ),
    "a value twice": ({"model": CNN, "factors": {"lr": [0.1, "1e-1"]}}, "grid.g.factors.lr has 0.1 twice"),
    "one key in two factors": (
        {"model": CNN, "factors": {"lr": [0.1], "a": [{"x": {"lr": 1}}]}},
        "the factors 'a' and 'lr' both set lr",
    ),
    "a key and its part": (
        {"model": {"architecture": "clip"}, "factors": {"text": ["a", "b"], "text.train": ["all", "frozen"]}},
        "the factor 'text' sets text, and 'text.train' its part text.train; give both as parts",
    ),
    "too many": (
        {"model": CNN, "factors": {"epochs": list(range(1, 41)), "batch_size": list(range(1, 41))}},
        "grid.g has 1,600 combinations",
    ),
    "settings without a name": ({"model": CNN, "factors": {"lr": [{"x": 1}]}}, "needs a label"),
    "a long name": ({"factors": {"architecture": ["x" * 130]}}, "has more than 120 letters"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_named_in_one_sentence(name):
    spec, expected = MISTAKES[name]
    with pytest.raises(FoldstackError) as caught:
        resolve(spec)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_of_text_and_augment_may_be_factors():
    spec = {"model": CNN, "factors": {"augment.mixup": [0, 0.2], "augment.flip": [0.5]}}
    found = resolve(spec)["models"]
    assert [block["augment"] for block in found.values() if block["augment"]] == [
        {"flip": 0.5, "mixup": 0.0}, {"flip": 0.5, "mixup": 0.2}]  # fmt: skip


def test_a_mistake_is_laid_to_the_model_that_has_it():
    given = {"experiment": "x", "models": {"g-lr0.15": CNN | {"epochs": -1}}}
    with pytest.raises(FoldstackError, match=r"Config: models\.g-lr0\.15\.epochs"):
        configuration.resolve(given | {"grid": {"g": {"model": CNN, "factors": {"lr": [0.1]}}}})


def test_no_model_has_the_name_of_another():
    spec = {"model": CNN, "factors": {"lr": [1]}}
    with pytest.raises(FoldstackError, match=r"grid.g makes a model 'g-lr1', but models.G-lr1 has that name already"):
        resolve(spec, models={"G-lr1": CNN})
    clash = {"x": [{"a": {}}, {"a-b": {}}], "y": [{"b-b": {}}, {"b": {}}]}
    with pytest.raises(FoldstackError, match=r"grid.g makes a model 'g-a-b-b', but grid.g has that name already"):
        resolve({"model": CNN, "factors": clash})


def test_what_the_report_shows_makes_the_same_models_again():
    raw = {"experiment": "x", "training": {"epochs": 9}, "seeds": [1], "models": {}}
    raw["grid"] = {"a": {"model": CNN, "factors": {"lr": ["1e-1", 0.2], "depth": [{"one": {"options.stages": 1}}]}}}
    first = configuration.resolve(raw)
    shown = {"experiment": "x", "models": {}}
    shown["grid"] = grid.self_contained(first["grid"], first["training"] | {"seeds": first["seeds"]})
    again = configuration.resolve(yaml.safe_load(yaml.safe_dump(json.loads(json.dumps(shown)))))
    assert again["models"] == first["models"]
