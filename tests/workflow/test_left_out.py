"""Failing runs, with and without a quorum: really run on 48 tiny images."""

import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

FAIL = """    if run.model == "weak" and os.path.exists("fail"):
        raise FoldstackError("Model weak was told to fail.")
    if run.model == "weak" and os.path.exists("kill"):
        os.kill(os.getpid(), 9)
    started ="""


@pytest.fixture
def made(project):
    """A project of two models; while the file `fail` or `kill` exists, the runs of `weak` fail or are killed."""
    config = {
        "experiment": "pictures",
        "data": {"format": "imagefolder", "path": "pictures"},
        "folds": {"n_splits": 2, "inner_splits": 2},
        "training": {"epochs": 1, "batch_size": 8},
        "models": {name: {"architecture": "small_cnn", "options": {"width": 4}} for name in ("weak", "well")},
        "stack": {"n_estimators": 2, "min_child_samples": 1, "quorum": 0.5},
        "evaluation": {"bootstrap": 100},
    }
    made = project(config)
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (made.folder / "pictures" / label).mkdir(parents=True)
        for i in range(24):
            pixels = random.integers(0, 120, (8, 8, 3), dtype=np.uint8) + np.uint8(100 * (label == "cat"))
            Image.fromarray(pixels).save(made.folder / "pictures" / label / f"{i}.png")
    training = made.folder / "workflow" / "scripts" / "foldstack" / "training" / "train.py"
    text = training.read_text()
    assert "import os\n" in text
    assert "    started =" in text
    training.write_text(text.replace("    started =", FAIL, 1))
    return made


# Not the pictures and pages, which take a minute.
WANTED = ("evaluation/summary.txt", "evaluation/leaderboard.html", "export/parity.json")


def targets(made):
    files = [
        *WANTED,
        *(f"models/{model}/seed0/fold{fold}/run.json" for model in made.config["models"] for fold in (0, 1)),
    ]
    return [f"results/pictures/{name}" for name in files]


def runs(*models):
    return {f"train_fold {model} 0 {fold}" for model in models for fold in (0, 1)}


def test_the_stack_goes_on_without_a_failed_member_and_takes_it_back_in(made):
    (made.folder / "fail").touch()
    made.run(*targets(made))
    stack = json.loads((made.results / "stack" / "stack.json").read_text())
    assert (stack["models"], stack["left_out"]) == (["well"], [["weak", 0]])
    for name in ("evaluation/summary.txt", "evaluation/leaderboard.html"):
        assert "INCOMPLETE" in (made.results / name).read_text(), name
        assert "weak was told to fail" in (made.results / name).read_text().replace("\n", " "), name
    session = onnxruntime.InferenceSession(made.results / "export" / "ensemble.onnx")
    ensemble = json.loads(session.get_modelmeta().custom_metadata_map["foldstack"])
    assert (ensemble["models"], ensemble["left_out"]) == (["well"], [["weak", 0]])
    assert not list(made.results.glob("models/weak/*/*/run.json")), "a failed run never counts as made"

    planned = made.planned(*targets(made))
    assert runs("weak") <= planned
    assert not planned & (runs("well") | {"collect_oof well 0", "export_model well"})
    kept = {path: path.stat().st_mtime_ns for path in made.results.glob("models/well/**/*.*")}
    (made.folder / "fail").unlink()
    made.run(*targets(made))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    stack = json.loads((made.results / "stack" / "stack.json").read_text())
    assert (stack["models"], stack["left_out"]) == (["weak", "well"], [])
    assert "INCOMPLETE" not in (made.results / "evaluation" / "summary.txt").read_text()
    assert made.planned(*targets(made)) == set()


def test_below_the_quorum_the_stack_fails_with_a_sentence_and_a_kill_is_no_result(made):
    made.config["stack"]["quorum"] = 0.8
    (made.folder / "fail").touch()
    done = made.run("--until", "fit_stacker", check=False)
    assert done.returncode != 0
    assert "Only 1 of 2 members (model, seed) are complete, fewer than stack.quorum 0.8" in " ".join(
        done.stderr.split()
    )
    assert not (made.results / "stack" / "stack.json").exists()

    made.config["stack"]["quorum"] = 0.5
    (made.folder / "fail").unlink()
    (made.folder / "kill").touch()
    done = made.run("--until", "fit_stacker", check=False)
    assert done.returncode != 0
    assert "train_fold model weak seed 0 fold" in " ".join(done.stderr.split())
    assert "it was killed: its log gives no reason" in " ".join(done.stderr.split())
    assert not list(made.results.glob("models/weak/*/*/run.json"))
    assert not (made.results / "stack" / "stack.json").exists()
    assert "Traceback" not in done.stdout + done.stderr
