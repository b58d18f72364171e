"""benchmarks/scale: its images, its made predictions and its exponents. `make commands` runs it whole, in small."""

import json
import sys

import numpy as np
import pytest
from project import ROOT

from foldstack.config import resolve as configuration
from foldstack.data import prepare

sys.path.insert(0, str(ROOT / "benchmarks"))
from scale import images, made, page


def test_its_images_are_read_as_a_download_of_tinyimagenet(tmp_path):
    images.make(tmp_path / "tiny", classes=6, train=20, val=8, side=16)
    data = {"format": "imagefolder", "path": str(tmp_path / "tiny")}
    config = configuration.resolve({"experiment": "x", "data": data, "models": {"small_cnn": {}}})
    source = prepare.read_source(config["data"])
    assert source.rows["label"].value_counts().sort_index().to_dict() == {
        images.wnid(k): count for k, count in enumerate([6, 6, 4, 4, 4, 4])
    }
    assert not source.intake.refused


def predicted(classes=40, each=60):
    labels = np.repeat(np.arange(classes), each)
    true = made.prototypes(classes)
    shared = made.evidence(labels, true, 0)
    logits = [made.scored(m, made.seen_by(m, shared, 0), made.views(m, 2, true)[0]) for m in range(3)]
    return labels, np.stack(logits)


def test_its_predictions_differ_in_sharpness_err_together_and_confuse_classes_that_look_alike():
    labels, logits = predicted()
    chosen = logits.argmax(axis=2)
    right = chosen == labels
    assert ((right.mean(axis=1) > 0.4) & (right.mean(axis=1) < 0.9)).all()
    assert np.corrcoef(right.astype(float))[0, 1] > 0.2, "errors are correlated"
    likely = np.exp(logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)).max(axis=2).mean(axis=1)
    assert likely[0] < likely[2] < likely[1], "as SHARPNESS says"
    for one, truth in zip(chosen, right, strict=True):
        family = (one // made.SIBLINGS == labels // made.SIBLINGS)[~truth].mean()
        assert family > 3 * (made.SIBLINGS - 1) / 39, "more than by chance"
        accuracies = [truth[labels == k].mean() for k in range(40)]
        assert np.std(accuracies) > 1.4 * np.sqrt(0.25 / 60), "some classes are confused much more than others"


def test_an_exponent_is_that_of_a_power():
    assert page.growth({10: 3 * 10**1.5, 100: 3 * 100**1.5, 1000: 3 * 1000**1.5}) == pytest.approx(1.5)
    assert page.growth({10: 1.0}) is None


def test_the_page_says_what_ended_what_was_stopped_and_what_was_never_run(tmp_path):
    cells = tmp_path / "cells"
    cells.mkdir()
    ended = {"seconds": 10.0, "cpu": 9.0, "peak_mib": 500.0, "bytes": 2_000_000}
    stopped = {"seconds": 900.0, "cpu": 890.0, "peak_mib": 4000.0, "stopped": 900.0, "bytes": 0}
    short = {"seconds": 30.0, "cpu": 20.0, "peak_mib": 900.0}
    (cells / "C200-N1000.json").write_text(
        json.dumps(
            {
                "fit_stacker": ended,
                "evaluate": stopped,
                "before evaluate": stopped,
                "before one fit of 1 rounds": short,
                "before one fit of 3 rounds": short | {"cpu": 40.0},
            }
        )
    )
    (cells / "C200-N10000.json").write_text(json.dumps({"fit_stacker": ended | {"cpu": 90.0}}))
    page.write(tmp_path, tmp_path / "scale.md")
    text = (tmp_path / "scale.md").read_text()
    assert "| `fit_stacker` | samples, at 200 classes | 1.00 | 0.00 | 0.00 |" in text
    assert "| 200 | 1,000 | stopped after 15.0 min |" in text
    assert "about 1.7 h CPU, from one fit (10.0 s a round); ≥ 900 MiB | 10.0 s (9.0 s CPU), 500 MiB |" in text
    assert "more than 15.0 min, 4,000 MiB" in text
