"""The whole line: nothing to do again, predictions from exported files, the report, failures that a person can read."""

import json

import numpy as np
import pandas as pd
from project import TINY

from foldstack import tables


def test_a_second_invocation_runs_nothing(finished):
    done = finished.run()
    assert "Nothing to be done" in done.stdout + done.stderr


def test_prediction_of_the_test_images_equals_the_pipelines_own(finished, copy_of_finished):
    """The exported files alone give a test image the probabilities of stack/test.arrow."""
    samples = tables.read_samples(finished.results / "data" / "samples.parquet")
    test = samples[samples["split"] == "test"]
    pixels = np.load(finished.results / "data" / "pixels.npy", allow_pickle=False)[test["row"]]
    np.savez(copy_of_finished.folder / "new.npz", x=pixels, id=test["sample_id"].to_numpy(str))
    copy_of_finished.config["predict"] = {"format": "npz", "path": "new.npz"}
    assert copy_of_finished.planned("predict") == {"predict_new", "predict"}
    copy_of_finished.run("predict")
    classes = json.loads((finished.results / "data" / "dataset.json").read_text())["classes"]
    stacked = tables.read_predictions(finished.results / "stack" / "test.arrow", classes, ("method", "sample_id"))
    stacked = stacked[stacked["method"] == "lightgbm"]
    predicted = pd.read_csv(copy_of_finished.results / "predictions" / "predictions.csv").set_index("sample_id")
    columns = [f"prob_{name}" for name in classes]
    np.testing.assert_allclose(predicted.loc[stacked["sample_id"], columns], tables.probabilities(stacked), atol=1e-5)
    assert len(predicted) == 359


def test_the_report_holds_every_section(finished):
    finished.run("--report", "report.html")
    page = (finished.folder / "report.html").read_text()
    for title in ("Leaderboard", "Confusion matrix", "Learning curves", "Class counts", "Contact sheet of samples",
                  "Folds", "Timings", "Classes"):  # fmt: skip
        assert title in page, title


def test_one_failing_run_stops_no_other_and_is_named_at_the_end(project):
    config = json.loads(json.dumps(TINY)) | {"experiment": "failing"}
    config["models"]["vit"] |= {"lr": 10.0, "optimizer": "sgd", "weight_decay": 1.0, "warmup_epochs": 0, "epochs": 9}
    made = project(config)
    wanted = [f"results/failing/oof/{model}/seed0.arrow" for model in ("cnn", "vit")]
    done = made.run(*wanted, check=False)
    assert done.returncode != 0
    assert "train_fold model vit seed 0 fold" in done.stderr
    assert "diverged in epoch" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (made.results / "oof" / "cnn" / "seed0.arrow").exists(), "the other model went on"
    assert not (made.results / "models" / "vit" / "seed0" / "fold0" / "run.json").exists()
