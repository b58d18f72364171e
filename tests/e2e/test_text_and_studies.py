"""Prompts, captions, a grid and stages in one line: a job of each rule that the tiny run of the other tests has not."""

import csv

import pandas as pd
import pytest
from example_inputs import CLASSES, write_images
from text_inputs import write_encoder

from foldstack.export.session import session_of
from foldstack.files import read_json

CLIP = {"architecture": "clip", "options": {"tower": "small_cnn", "tower_options": {"width": 4}, "features": 8}}
CONFIG = {
    "experiment": "texts",
    "data": {"format": "csv", "path": "photos.csv"},
    "folds": {"n_splits": 2},
    "training": {"epochs": 2, "batch_size": 16, "augmentation": "none"},
    "grid": {
        "clip": {
            "model": CLIP | {"text": {"encoder": "tiny", "templates": ["a photo of {}"]}, "loss": "contrastive"},
            "factors": {"learns": [{"prompts": {}}, {"captions": {"text": {"captions": True}, "loss": "sigmoid"}}]},
        }
    },
    "stages": [{"name": "first", "models": ["clip-prompts"]}, {"name": "both", "models": ["clip-captions"]}],
    "stack": {"n_estimators": 10},
    "evaluation": {"bootstrap": 100},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    from project import Project

    made = Project(tmp_path_factory.mktemp("texts") / "project", CONFIG)
    write_images(made.folder / "photos", per_class=24)
    with open(made.folder / "photos.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "caption"])
        for name in CLASSES:
            table.writerows((f"photos/{name}/{i}.png", name, f"a {name} photo") for i in range(24))
    write_encoder(made.folder / "tiny")
    made.run()
    made.run("dual")
    return made.results


def test_fetch_encoder_and_embed_prompts_and_captions(results):
    assert len(list((results / "encoders").glob("*.json"))) == 1, "one encoder for all models"
    assert {path.stem for path in (results / "prompts").iterdir()} == {"clip-captions", "clip-prompts"}
    assert len(list((results / "captions").iterdir())) == 1


def test_tabulate_retrieval(results):
    found = pd.read_csv(results / "evaluation" / "retrieval.csv")
    assert set(found["model"]) == {"clip-captions"}
    assert set(found["part"]) == {"oof", "test"}


def test_tabulate_factors(results):
    found = pd.read_csv(results / "evaluation" / "factors.csv")
    assert found[["grid", "level", "pairs"]].to_numpy().tolist() == [["clip", "prompts", 1], ["clip", "captions", 1]]


def test_tabulate_stages(results):
    found = pd.read_csv(results / "evaluation" / "stages.csv")
    assert found["models"].tolist() == [1, 2]
    assert found["stack_oof"].between(0, 1).all()
    page = (results / "evaluation" / "report.html").read_text()
    for title in ("Stage by stage", "What each factor changes", "Images and captions"):
        assert title in page


def test_export_dual(results):
    assert {path.name for path in (results / "export" / "dual").iterdir()} == {"clip-captions", "clip-prompts"}
    for folder in (results / "export" / "dual").iterdir():
        sessions = {name: session_of(str(folder / f"{name}.onnx")) for name in ("image", "text")}
        for session in sessions.values():
            assert [output.name for output in session.get_outputs()] == ["features"]
        assert [given.name for given in sessions["text"].get_inputs()] == ["input_ids", "attention_mask"]
        assert read_json(folder / "tokenizer_config.json")
