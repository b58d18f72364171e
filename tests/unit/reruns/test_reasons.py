"""Snakemake's reasons in a person's words; the texts were captured from Snakemake 9.27.1."""

import json
import logging

import pytest

from foldstack.reruns import code_digest, reasons

PARAMS = "Params have changed since last execution: Union of exclusive params before and now across all output: "
RUN = {"model": "resnet18", "seed": "0", "fold": "1"}
DATA = json.dumps({"data": {"format": "digits", "image_size": None, "seed": 0, "test_fraction": 0.2}}, sort_keys=True)
TRAINING = {"architecture": "resnet18", "epochs": 30, "lr": 0.001, "options": {"width": 4}, "schedule": "cosine"}
CODES = {  # digests and the files behind them
    "0" * 16: ["foldstack/loop.py@58ae280f7e78", "foldstack/losses.py@a0cc8268840b", "train_fold.py@77a674c7d112"],
    "1" * 16: ["foldstack/loop.py@58ae280f7e78", "foldstack/losses.py@ff", "train_fold.py@77a674c7d112"],
    "2" * 16: ["foldstack/moved.py@58ae280f7e78", "foldstack/losses.py@a0cc8268840b", "foldstack/new.py@1",
               "train_fold.py@2"],
    "3" * 16: [f"foldstack/m{i}.py@1" for i in range(9)],
    "4" * 16: [f"foldstack/m{i}.py@2" for i in range(9)],
}  # fmt: skip


@pytest.fixture(autouse=True)
def remembered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for digest, files in CODES.items():
        code_digest.remember(code_digest.Code(digest, files))


def params(before, now):
    """The text that Snakemake makes of sets of params."""
    sides = (",".join(map(repr, side)) if side else "<nothing exclusive>" for side in (before, now))
    return PARAMS + "before: {} now: {} ".format(*sides)


def training(**changes):
    return json.dumps(TRAINING | changes, sort_keys=True)


def stack(members, **keys):
    return json.dumps({"members": members, "stack": {"num_leaves": 4} | keys}, sort_keys=True)


CAPTURED = {
    "new run": (
        "Missing output files: results/tiny/models/new/seed0/fold0/weights.safetensors, "
        "results/tiny/models/new/seed0/fold0/run.json",
        "train_fold",
        RUN,
    ),
    "not made yet": (
        "Missing output files: results/tiny/export/models/new.onnx; Input files updated by another job: "
        "results/tiny/models/new/seed0/fold1/run.json, results/tiny/models/new/seed0/fold0/weights.safetensors",
        "export_model",
        {"model": "new"},
    ),
    "follows from models/cnn, models/vit, oof/cnn, stack and 1 more": (
        "Input files updated by another job: results/tiny/models/vit/seed0/fold0/run.json, "
        "results/tiny/models/cnn/seed0/fold0/run.json, results/tiny/stack/test.arrow, "
        "results/tiny/stack/stack.json, results/tiny/oof/cnn/seed0.arrow, results/tiny/test/cnn/seed0.arrow",
        "evaluate",
        {},
    ),
    "models, seeds or folds were added or removed": (
        "Input files updated by another job: results/tiny/models/cnn/seed0/fold0/history.csv; "
        "Set of input files has changed since last execution",
        "plot_curves",
        {},
    ),
    "data.seed 0 → 1": (
        PARAMS + "before: '" + DATA + "' now: '" + DATA.replace('"seed": 0', '"seed": 1') + "' ",
        "prepare_data",
        {},
    ),
    "data changed": (
        PARAMS + "before: 'data b5927f83ae75 folds e650025e728b' now: 'data 07adfe052b5f folds 397074811e8e' ",
        "plot_data",
        {},
    ),
    "folds changed": (
        PARAMS + "before: 'data b5927f83ae75 folds e650025e728b' now: 'data b5927f83ae75 folds 397074811e8e' ",
        "plot_data",
        {},
    ),
    "resnet18: epochs 30 → 50": (params([training()], [training(epochs=50)]), "train_fold", RUN),
    "resnet18: lr 0.001 → 0.01, options.width 4 → 8; code: foldstack/losses.py changed": (
        params([training(), "0" * 16], [training(lr=0.01, options={"width": 8}), "1" * 16]),
        "train_fold",
        RUN,
    ),
    "code: foldstack/new.py, train_fold.py changed": (
        params(["0" * 16], ["2" * 16]),
        "train_fold",
        RUN,
    ),
    "code changed": (params(["0" * 16], ["f" * 16]), "train_fold", RUN),
    "resnet18: options.depth none → 3": (
        params([training()], [training(options={"width": 4, "depth": 3})]),
        "train_fold",
        RUN,
    ),
    "images changed": (params(["6070d5a9ad6a"], ["5e5bbb2c57eb"]), "prepare_data", {}),
    "asked for, or was interrupted": ("Forced execution", "evaluate", {}),
    "changed on disk: results/tiny/oof/cnn/seed0.arrow": (
        "Updated input files: results/tiny/oof/cnn/seed0.arrow",
        "fit_stacker",
        {},
    ),
}


@pytest.mark.parametrize("words", CAPTURED)
def test_a_reason_becomes_a_line_in_words(words):
    assert reasons.in_words(*CAPTURED[words]) == words


def test_code_of_an_older_version_is_read():
    reason = params([["foldstack/loop.py@1", "train_fold.py@2"]], ["0" * 16])
    assert reasons.in_words(reason, "train_fold", RUN) == "code changed"


def test_members_and_settings_of_the_stack_are_named():
    reason = params([stack({"cnn": [0], "vit": [0]})], [stack({"cnn": [0, 1], "new": [0]}, num_leaves=3)])
    found = reasons.in_words(reason, "fit_stacker", {})
    assert found == "seeds of cnn [0] → [0, 1], new added, vit removed, stack.num_leaves 4 → 3"


def test_a_text_with_the_separator_inside_a_value_is_still_read():
    odd = training(schedule="before: 'x' now: 'y', z")
    assert reasons.in_words(params([odd], [training()]), "train_fold", RUN).startswith("resnet18: schedule before")


@pytest.mark.parametrize("reason", ["Something new in Snakemake 10", PARAMS + "before: {broken now: 'x", "", PARAMS])
def test_what_is_not_understood_stays_as_it_is(reason):
    assert reasons.in_words(reason, "train_fold", RUN) == reason


def test_many_names_are_counted():
    reason = params(["3" * 16], ["4" * 16])
    assert reasons.in_words(reason, "evaluate", {}).endswith("foldstack/m3.py and 5 more changed")


def test_the_logger_speaks_in_words_once_attached_and_is_attached_once():
    logger, seen = logging.getLogger("test_reasons"), []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.reason)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    reasons.attach(logger)
    reasons.attach(logger)
    extra = {"event": "job_info", "rule_name": "train_fold", "wildcards": RUN}
    logger.info("x", extra=extra | {"reason": params([training()], [training(epochs=50)])})
    assert seen == ["resnet18: epochs 30 → 50"]
    assert len(logger.filters) == 1


def test_nested_settings_are_named_by_their_path_and_empty_ones_kept():
    tree = {"a": {"b": {"c": 1, "d": [2]}, "e": {}}, "f": None}
    assert reasons.flat(tree) == {"a.b.c": 1, "a.b.d": [2], "a.e": {}, "f": None}
