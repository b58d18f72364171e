"""Two experiments side by side: what differs is named, and noise is told from a difference."""

import pytest
from fake_experiments import write_experiment
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack.errors import FoldstackError
from foldstack.evaluation import comparison


def experiment(folder, skill, **options):
    write_experiment(folder, skill, **options)
    return comparison.read_experiment(folder)


def test_an_experiment_does_not_differ_from_itself(tmp_path):
    one, other = experiment(tmp_path / "a", 0.8), experiment(tmp_path / "b", 0.8)
    assert comparison.changes(one, other) == []
    found = comparison.scores(one, other, 100)
    assert found["paired"]
    assert found["samples"] == {"first": 300, "second": 300, "both": 300}
    for row in found["metrics"].values():
        assert (row["difference"], row["low"], row["high"], row["beyond_noise"]) == (0, 0, 0, False)


def test_what_differs_is_named_and_what_all_models_share_is_said_once(tmp_path):
    one = experiment(tmp_path / "a", 0.8, models=("cnn", "vit"))
    other = experiment(tmp_path / "b", 0.8, models=("cnn", "vit", "net"), epochs=9)
    rows = {row["what"]: (row["first"], row["second"]) for row in comparison.changes(one, other)}
    assert rows == {"models.net": ("–", "there"), "models: epochs of all": (5, 9)}
    (tmp_path / "b/models/cnn/seed0/fold0/run.json").write_text(
        (tmp_path / "b/models/cnn/seed0/fold0/run.json").read_text().replace('"epochs": 9', '"epochs": 7')
    )
    rows = {row["what"]: row["second"] for row in comparison.changes(one, comparison.read_experiment(tmp_path / "b"))}
    assert rows == {"models.net": "there", "models.cnn.epochs": 7, "models.vit.epochs": 9}


def test_edited_code_is_named(tmp_path):
    one, other = experiment(tmp_path / "a", 0.8), experiment(tmp_path / "b", 0.8, code="cc")
    assert "code: foldstack/losses.py" in {row["what"] for row in comparison.changes(one, other)}


def test_a_clear_gain_is_beyond_noise_and_a_small_one_is_not(tmp_path):
    weak, strong = experiment(tmp_path / "a", 0.6), experiment(tmp_path / "b", 0.9)
    row = comparison.scores(weak, strong, 200)["metrics"]["accuracy"]
    assert row["beyond_noise"]
    assert row["low"] > 0.15
    near = experiment(tmp_path / "c", 0.605)  # the same draws: a sample or two more are right
    assert not comparison.scores(weak, near, 200)["metrics"]["accuracy"]["beyond_noise"]
    turned = comparison.scores(strong, weak, 200)["metrics"]["accuracy"]
    assert turned["difference"] == pytest.approx(-row["difference"])
    assert turned["high"] == pytest.approx(-row["low"])


def test_only_common_samples_with_the_same_label_are_paired(tmp_path):
    one = experiment(tmp_path / "a", 0.8)
    other = experiment(tmp_path / "b", 0.8, start=200)
    found = comparison.scores(one, other, 100)
    assert (found["paired"], found["samples"]["both"]) == (True, 100)
    renamed = experiment(tmp_path / "c", 0.8, classes=["cat", "dog", "yak"])
    assert comparison.scores(one, renamed, 100)["samples"]["both"] == 200


def test_without_common_samples_the_intervals_are_unpaired_and_wider(tmp_path):
    one, same = experiment(tmp_path / "a", 0.8), experiment(tmp_path / "b", 0.82)
    apart = experiment(tmp_path / "c", 0.82, start=300)
    found = comparison.scores(one, apart, 300)
    assert (found["paired"], found["samples"]["both"]) == (False, 0)
    paired = comparison.scores(one, same, 300)["metrics"]["accuracy"]
    row = found["metrics"]["accuracy"]
    assert row["high"] - row["low"] > 2 * (paired["high"] - paired["low"])


def test_ranked_scores_are_compared_paired_and_unpaired(tmp_path):
    one, same = experiment(tmp_path / "a", 0.8), experiment(tmp_path / "b", 0.8, seed=1)
    larger = experiment(tmp_path / "c", 0.8, n=600, start=300)
    alone = comparison.scores(one, one, 50)["metrics"]["map"]
    assert alone["low"] == alone["difference"] == alone["high"] == 0
    for other in (same, larger):
        found = comparison.scores(one, other, 50)["metrics"]
        for metric in ("map", "roc_auc"):
            assert found[metric]["low"] < found[metric]["difference"] < found[metric]["high"]


@settings(max_examples=10, deadline=None)
@given(skill=st.floats(0.3, 0.95), seed=st.integers(0, 100))
def test_the_difference_is_that_of_the_plain_accuracies(tmp_path_factory, skill, seed):
    folder = tmp_path_factory.mktemp("pair")
    one, other = experiment(folder / "a", 0.7, n=60), experiment(folder / "b", skill, n=60, seed=seed)
    row = comparison.scores(one, other, 100)["metrics"]["accuracy"]
    accuracy = [float((each.probabilities.idxmax(axis=1) == each.truth).mean()) for each in (one, other)]
    assert (row["first"], row["second"]) == pytest.approx(accuracy)
    assert row["low"] <= row["difference"] + 1e-12
    assert row["difference"] <= row["high"] + 1e-12


def test_a_folder_without_a_finished_experiment_is_named(tmp_path):
    with pytest.raises(FoldstackError, match="holds no finished experiment"):
        comparison.read_experiment(tmp_path)
