"""foldstack.evaluation.stages: a study stage by stage, against the stack's own functions; the report shows it."""

from dataclasses import replace

import numpy as np
import pytest
from fake_runs import EVALUATION, STACK, noisy_probabilities

from foldstack.ensemble import stacking
from foldstack.ensemble.members import Members
from foldstack.evaluation import stages
from foldstack.report.figures.stages import draw_stages

CONFIG = {"stack": STACK, "evaluation": EVALUATION}
STAGES = [{"name": "weak", "models": ["b", "a"]}, {"name": "strong", "models": ["c"]}]
STRENGTHS = {"a": 0.2, "b": 0.4, "c": 1.5}


def made(n=400, n_test=150) -> Members:
    rng = np.random.default_rng(0)
    labels, test_labels = (rng.permutation(np.arange(size) % 3) for size in (n, n_test))
    return Members(
        seeds={model: [0] for model in STRENGTHS},
        classes=["x", "y", "z"],
        sample_ids=np.arange(n).astype(str),
        folds=rng.permutation(np.arange(n) % 4),
        labels=labels,
        test_ids=np.arange(n_test).astype(str),
        test_labels=test_labels,
        oof={(model, 0): np.log(noisy_probabilities(labels, 3, by, rng)) for model, by in STRENGTHS.items()},
        test={
            (model, 0): np.log([noisy_probabilities(test_labels, 3, by, rng) for _ in range(4)])
            for model, by in STRENGTHS.items()
        },
    )


def test_a_stage_holds_all_models_so_far_and_is_scored_as_the_ensemble_is():
    members = made()
    first, last = stages.stage_table(STAGES, members, CONFIG).to_dict("records")
    assert (first["models"], first["added"], first["best_single"]) == (2, "b a", "b")
    assert (last["models"], last["added"], last["best_single"]) == (3, "c", "c")
    oof, fixed = members.seed_averaged_oof()[:], (members.models, members.classes, STACK)
    spec, booster = stacking.fit_stack(oof, members.labels, members.folds, *fixed)
    tables = {
        "own_rows": (stacking.predict_stack("lightgbm", spec, oof, booster), members.labels),
        "oof": (stacking.cross_fit(oof, members.labels, members.folds, *fixed)["lightgbm"], members.labels),
        "test": (
            stacking.predict_folds("lightgbm", spec, members.seed_averaged_test()[:], booster),
            members.test_labels,
        ),
    }
    for name, (table, labels) in tables.items():
        assert last[f"stack_{name}"] == np.mean(table.argmax(axis=1) == labels)
    assert last["stack_oof_low"] < last["stack_oof"] < last["stack_oof_high"]
    assert last["gain"] == pytest.approx(last["stack_oof"] - first["stack_oof"])
    assert 0 < last["gain_low"] < last["gain"] < last["gain_high"]
    assert np.isnan(first["gain"])


def test_what_fitting_and_scoring_in_one_go_claims_is_told_from_the_estimate():
    members = made()
    rng = np.random.default_rng(1)
    coin = {key: rng.dirichlet(np.ones(3), len(members.labels)) for key in members.oof}
    table = stages.stage_table(STAGES, replace(members, oof=coin), CONFIG)
    assert (table["stack_own_rows"] > 0.55).all()  # of three classes, from predictions that know nothing
    assert (table["stack_oof_low"] < 1 / 3).all()
    assert (table["stack_oof"] < 0.42).all()


def test_models_that_were_left_out_take_no_part_and_a_stage_of_none_is_skipped():
    gone = [{"name": f"gone {i}", "models": [f"z{i}"]} for i in range(3)]
    found = stages.stage_table([gone[0], STAGES[0], gone[1], STAGES[1], gone[2]], made(), CONFIG)
    assert found["stage"].tolist() == ["weak", "strong"]


def test_without_a_test_split_the_rest_is_scored_and_drawn(tmp_path):
    members = made(n_test=0)
    table = stages.stage_table(STAGES, members, CONFIG)
    assert table["stack_test"].isna().all()
    assert table["stack_oof"].notna().all()
    draw_stages(table, "lightgbm", tmp_path / "stages.svg")
    drawn = (tmp_path / "stages.svg").read_text()
    assert "on its own rows: not an estimate" in drawn
    assert "on the test split" not in drawn
