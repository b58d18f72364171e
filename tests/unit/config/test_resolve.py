"""foldstack.config: defaults, overrides, and one clear sentence for each mistake."""

import copy
import datetime
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack.config import resolve
from foldstack.errors import FoldstackError

SMALL = {"experiment": "tiny", "models": {"small_cnn": {}}}
PAIRS = {"format": "digits_pairs"}


def small(**changes) -> dict:
    return copy.deepcopy(SMALL) | changes


def test_defaults_come_from_the_schema():
    resolved = resolve.resolve(SMALL)
    assert resolved["folds"]["n_splits"] == 5
    assert resolved["training"]["lr"] == 0.001
    assert resolved["models"]["small_cnn"]["architecture"] == "small_cnn"
    assert resolved["models"]["small_cnn"]["seeds"] == resolved["seeds"] == [0]


def test_a_model_block_overrides_the_global_training_defaults_and_nothing_else():
    models = {"a": {"architecture": "small_cnn", "epochs": 3, "seeds": [4]}, "small_cnn": {}}
    resolved = resolve.resolve(small(training={"epochs": 7}, models=models))
    assert resolved["models"]["a"]["epochs"] == 3
    assert resolved["models"]["small_cnn"]["epochs"] == 7
    assert resolve.members(resolved) == {"a": [4], "small_cnn": [0]}


@pytest.mark.parametrize("text", ["1e-3", "0.001", 0.001])
def test_yaml_numbers_have_one_form(text):
    resolved = resolve.resolve(small(training={"lr": text, "epochs": 3.0}))
    assert resolve.training_slice(resolved, "small_cnn")["lr"] == 0.001
    assert json.loads(resolve.canonical(resolved))["training"]["epochs"] == 3
    assert '"epochs": 3,' in resolve.canonical(resolved)


def test_seeds_are_not_part_of_what_a_run_depends_on():
    one, two = resolve.resolve(SMALL), resolve.resolve(small(seeds=[0, 1]))
    assert resolve.training_slice(one, "small_cnn") == resolve.training_slice(two, "small_cnn")


def test_the_order_of_keys_changes_nothing():
    models = {"b": {"architecture": "small_cnn"}, "a": {"architecture": "small_cnn"}}
    factors = {"options.width": [8, 4], "depth": [{"one": {"lr": 0.1, "epochs": 1}}, {"more": None}]}
    grids = [{"g": {"model": models["a"], "factors": dict(order(factors.items()))}} for order in (list, reversed)]
    forward = small(models=models, grid=grids[0])
    backward = small(models=dict(reversed(models.items())), grid=grids[1])
    assert resolve.canonical(resolve.resolve(forward)) == resolve.canonical(resolve.resolve(backward))
    assert list(resolve.members(resolve.resolve(forward))) == list(resolve.members(resolve.resolve(backward)))


MISTAKES = {
    "unknown key": (small(fold={}), "unknown key 'fold' in the top level; did you mean 'folds'?"),
    "levels of another fusion": (
        small(data={"format": "digits_pairs"}, models={"pair_net": {"options": {"levels": 8}}}),
        "models.pair_net.options: levels is for fusion: levels",
    ),
    "antisymmetric cosine": (
        small(
            data={"format": "digits_pairs"},
            models={"pair_net": {"options": {"fusion": "cosine", "antisymmetric": True}}},
        ),
        "'cosine' does not know left from right",
    ),
    "width of nothing": (small(models={"small_cnn": {"options": {"width": 0}}}), "give a whole number above 0"),
    "clip without an encoder": (
        small(models={"clip": {"text": {"templates": ["a {}"]}}}),
        "models.clip: the architecture 'clip' needs text.encoder",
    ),
    "stage of no model": (
        small(stages=[{"name": "one", "models": ["small_cn"]}]),
        "stages: 'one' adds 'small_cn', which is not a model; did you mean 'small_cnn'?",
    ),
    "model in two stages": (
        small(stages=[{"name": "one", "models": ["small_cnn"]}, {"name": "two", "models": ["small_cnn"]}]),
        "'two' adds 'small_cnn', as 'one' did; drop one of them",
    ),
    "stage without models": (small(stages=[{"name": "one"}]), "stages.0 needs the key 'models'"),
    "unknown nested key": (small(folds={"n_split": 3}), "unknown key 'n_split' in folds; did you mean 'n_splits'?"),
    "unknown model key": (small(models={"small_cnn": {"epoch": 3}}), "did you mean 'epochs'?"),
    "text for a number": (small(training={"lr": "fast"}), "training.lr is 'fast'; give a number"),
    "out of range": (small(folds={"n_splits": 1}), "folds.n_splits: 1 is less than the minimum of 2"),
    "misspelt choice": (small(training={"optimizer": "adamww"}), "did you mean 'adamw'?"),
    "unknown optimizer of a model": (
        small(models={"small_cnn": {"optimizer": "lamp"}}),
        "models.small_cnn: there is no optimizer 'lamp'; did you mean 'lamb'?",
    ),
    "no milestones": (small(training={"schedule": "multistep"}), "schedule: multistep needs milestones"),
    "only warm-up": (small(training={"schedule": "wsd", "epochs": 1}), "leaves none of 1 epochs"),
    "floor above the rate": (small(training={"min_lr": 0.1}), "min_lr 0.1 is above lr 0.001"),
    "frozen on several GPUs": (small(training={"head_only_epochs": 1, "gpus": 2}), "is for runs on one GPU"),
    "compiled on two GPUs": (small(training={"compile": True, "gpus": 2}), "compile is for runs on one GPU"),
    "layers of an own model": (small(training={"layer_decay": 0.7}), "layer_decay is for models of timm"),
    "weights by a wrong word": (small(training={"class_weights": "balance"}), "did you mean 'balanced'?"),
    "a tower of no published weights": (
        small(data=PAIRS, models={"pair_net": {"pretrained": True, "options": {"tower": "cnn"}}}),
        "no weights of the tower 'cnn' are published; give pretrained a file",
    ),
    "the own tower by default": (
        small(data=PAIRS, models={"pair_net": {"pretrained": True}}),
        "no weights of 'pair_net' are published",
    ),
    "weights that timm lists for another tower": (
        small(data=PAIRS, models={"pair_net": {"pretrained": "a1_in1", "options": {"tower": "resnet18"}}}),
        "which is neither a file nor weights of the tower 'resnet18' that timm lists; similar tags are a1_in1k",
    ),
    "weights of an own model": (small(models={"small_cnn": {"pretrained": True}}), "no weights of 'small_cnn' are"),
    "weights that timm lacks": (
        small(models={"resnet18": {"pretrained": "a1_in1"}}),
        "neither a file nor weights of 'resnet18' that timm lists; similar tags are a1_in1k",
    ),
    "no file of weights": (small(models={"resnet18": {"pretrained": "no/w.pth"}}), "'no/w.pth' does not exist"),
    "weights among the options": (small(models={"resnet18": {"options": {"pretrained": True}}}), "move it there"),
    "views of sides of one image": (small(training={"tta": ["swap"]}), "tta: swap is for pairs"),
    "temperature without inner split": (
        small(training={"selection": "final", "temperature": True}),
        "temperature is fitted on the inner split",
    ),
    "unknown augmentation": (small(training={"augment": {"mixap": 1}}), "did you mean 'mixup'?"),
    "a year as a name": (small(experiment=2024), "experiment is 2024; put it in quotation marks"),
    "a date as a name": (small(experiment=datetime.date(2024, 5, 1)), "experiment is 2024-05-01; put it in quotation"),
    "models as a list": (small(models=["resnet18"]), "write one line for each model, `resnet18:`, instead of a list"),
    "weights as a name": (
        small(models={"resnet18.a1_in1k": {}}),
        "'resnet18.a1_in1k' names weights of 'resnet18'; write architecture: resnet18 and pretrained: a1_in1k",
    ),
    "unknown architecture": (small(models={"resnet19": {}}), "similar names are resnet18"),
    "text for GPUs": (small(training={"gpus": "all"}), "training.gpus: 'auto' was expected"),
    "too many GPUs": (small(training={"gpus": 65}), "training.gpus: 65 is greater than the maximum of 64"),
    "no models": (small(models={}), "models"),
    "missing key": ({"models": {"small_cnn": {}}}, "needs the key 'experiment'"),
    "path in a name": (small(experiment="../up"), "must start with a letter or digit"),
    "path in a model's name": (small(models={"a/b": {"architecture": "small_cnn"}}), "must start with a letter"),
    "names that differ in case": (
        small(models={"A": {"architecture": "small_cnn"}, "a": {"architecture": "small_cnn"}}),
        "differ in case only",
    ),
    "pair network on images": (small(models={"siamese": {}}), "'siamese' is for pairs, but data.format gives images"),
    "image network on pairs": (small(data=PAIRS), "is for images, but data.format gives pairs"),
    "early stopping without inner split": (
        small(training={"selection": "final", "early_stopping": 2}),
        "early_stopping: 2 needs an inner split",
    ),
    "plateau without inner split": (
        small(training={"selection": "final", "schedule": "plateau"}),
        "schedule: plateau needs an inner split",
    ),
    "no path": (small(data={"format": "imagefolder"}), "needs data.path"),
    "path that is not there": (small(data={"format": "npz", "path": "no/such.npz"}), "'no/such.npz' does not exist"),
    "path for built-in data": (small(data={"path": "x"}), "has no meaning for the built-in format"),
    "file for a folder": (
        small(data={"format": "imagefolder", "path": __file__}),
        "is not a folder, which",
    ),
    "folder for a file": (small(predict={"format": "csv", "path": "."}), "is not a file, which predict.format 'csv'"),
    "path with NUL": (small(data={"format": "npz", "path": "a\0b"}), "does not exist"),
    "path that is too long": (small(data={"format": "npz", "path": "x" * 5000}), "does not exist"),
    "model name that is not text": (
        small(models={1: {"architecture": "small_cnn"}}),
        "the key 1 in models is not text",
    ),
    "key that is not text": (small(training={2: 1, "a": 1}), "the key 2 in training is not text"),
    "not a number": (small(training={"lr": float("nan")}), "training.lr is nan; give a finite number"),
    "infinite text": (small(training={"lr": "inf"}), "training.lr is 'inf'; give a number"),
    "huge seed": (small(folds={"seed": 10**30}), "folds.seed: 10000"),
    "huge number": (small(training={"lr": 10**400}), "is greater than the maximum of 10"),
    "two targets of a threshold": (
        small(evaluation={"thresholds": {"precision": 0.9, "recall": 0.9}}),
        "evaluation.thresholds takes precision or recall, not both",
    ),
    "unknown stack method": (small(stack={"method": "rank_mean"}), "stack.method is 'rank_mean'; did you mean 'mean'?"),
    "unknown option": (
        small(models={"small_cnn": {"options": {"widht": 3}}}),
        "models.small_cnn.options: 'small_cnn' has no option 'widht'; did you mean 'width'?",
    ),
    "option of a wrong type": (small(models={"small_cnn": {"options": {"width": "3"}}}), "give a whole number above 0"),
    "yes for a number": (
        small(models={"small_cnn": {"options": {"width": True}}}),
        "give a whole number above 0",
    ),
    "swapped images": (small(training={"swap": True}), "models.small_cnn: swap is for pairs"),
    "misspelt choice of an option": (
        small(data=PAIRS, models={"pair_net": {"options": {"fusion": "diference"}}}),
        "models.pair_net.options.fusion of 'pair_net' is 'diference'; did you mean 'difference'?",
    ),
    "unknown choice of an option": (
        small(data=PAIRS, models={"pair_net": {"options": {"attention": "x"}}}),
        "is 'x'; choose one of none, se, cbam.",
    ),
    "misspelt tower": (
        small(data=PAIRS, models={"pair_net": {"options": {"tower": "resnet_18"}}}),
        "is 'resnet_18'; did you mean 'resnet18'?",
    ),
    "layers that are no list": (
        small(data=PAIRS, models={"pair_net": {"options": {"layers": [2, 0]}}}),
        "layers of 'pair_net' is [2, 0]; give a list of whole numbers above 0.",
    ),
    "student without a name": (
        small(variants={"student": {"epochs": 3}}),
        "variants.student needs the key 'architecture'",
    ),
    "student that reads": (
        small(variants={"student": {"architecture": "clip", "text": {"encoder": "x"}}}),
        "but soft labels are learned without it; change or drop it.",
    ),
    "student of an unknown kind": (
        small(variants={"student": {"architecture": "resnet19"}}),
        "variants.student: there is no architecture 'resnet19'",
    ),
    "student with a key that is none": (
        small(variants={"student": {"architecture": "small_cnn", "epoch": 3}}),
        "unknown key 'epoch' in variants.student; did you mean 'epochs'?",
    ),
    "student of two seeds": (
        small(variants={"student": {"architecture": "small_cnn", "seeds": [0, 1]}}),
        "variants.student.seeds is [0, 1], but a student is one network",
    ),
    "student with a focal loss": (
        small(variants={"student": {"architecture": "small_cnn", "loss": "focal"}}),
        "variants.student.loss is 'focal', but soft labels are learned by cross_entropy",
    ),
    "image size": (small(data={"image_size": "big"}), "data.image_size is 'big'; give one whole number"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_named_in_one_sentence(name):
    raw, expected = MISTAKES[name]
    with pytest.raises(FoldstackError) as caught:
        resolve.resolve(raw)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("given", "read"), [("auto", "auto"), (2, 2), ("2", 2), (0, 0)])
def test_gpus_are_a_number_or_auto(given, read):
    assert resolve.resolve(small(training={"gpus": given}))["training"]["gpus"] == read


def test_a_student_is_trained_as_the_config_says_unless_it_says_otherwise():
    raw = small(training={"epochs": 7, "lr": 0.5}, seeds=[4, 5])
    assert resolve.resolve(raw)["variants"]["student"] is None
    found = resolve.resolve(raw | {"variants": {"student": {"architecture": "small_cnn", "lr": 0.25}}})
    block = found["variants"]["student"]
    assert {key: block[key] for key in ("epochs", "lr", "seeds", "options")} == {
        "epochs": 7,
        "lr": 0.25,
        "seeds": [4],
        "options": {},
    }
    assert list(resolve.members(found)) == list(resolve.members(resolve.resolve(raw)))


def test_options_of_the_right_type_pass():
    resolve.resolve(
        small(models={"small_cnn": {"options": {"width": 8, "dropout": 0}}, "resnet18": {"options": {"a": 1}}})
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models:\n  a: {}\n  b: {}\n  a: {}\n", "line 4: key 'a' is already set on line 2"),
        ("x: [{a: 1,\n  a: 2}]\n", "line 2: key 'a' is already set on line 1"),
    ],
)
def test_a_key_that_occurs_twice_is_named_with_its_lines(tmp_path, text, words):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(FoldstackError, match=words):
        resolve.check_file(tmp_path / "c.yaml")


@pytest.mark.parametrize("text", ["a: &x {b: 1}\nc: *x\nd: {b: 2}\n", "a: &x [*x]\n", "{", "", "- 1\n", "\0"])
def test_what_is_not_for_this_check_passes_it(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    resolve.check_file(tmp_path / "c.yaml")


def test_a_config_that_holds_itself_is_refused():
    loop = {}
    loop["x"] = loop
    with pytest.raises(FoldstackError, match="nested more than 20 levels"):
        resolve.resolve(small(training=loop))


def test_an_empty_block_means_its_defaults():
    assert resolve.resolve(small(models={"small_cnn": None}, data=None)) == resolve.resolve(SMALL)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["experiment", "device", "data", "folds", "seeds", "training", "models", "stack", "predict", "x"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(keys, json_values, max_size=4))
def test_any_config_is_resolved_or_refused_with_a_sentence(changes):
    try:
        outcome = resolve.canonical(resolve.resolve(small(**changes)))
    except FoldstackError as error:
        outcome = str(error)
    assert outcome.startswith(("Config: ", '{"busy": '))
