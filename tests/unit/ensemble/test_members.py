"""foldstack.ensemble.members: what is joined by name and by id, and which tables are refused."""

import numpy as np
import pytest
from fake_runs import CLASSES, MEMBERS, collect, experiment

from foldstack import tables
from foldstack.ensemble.members import read_members
from foldstack.errors import FoldstackError


def write_members(made):
    oof_paths, test_paths = [], []
    for model, seeds in MEMBERS.items():
        for seed in seeds:
            joined, test = collect(made, model, seed)
            oof_paths.append(made.root / "oof" / model / f"seed{seed}.arrow")
            test_paths.append(made.root / "test" / model / f"seed{seed}.arrow")
            tables.write_predictions(joined, oof_paths[-1], CLASSES)
            tables.write_predictions(test, test_paths[-1], CLASSES, keys=("fold", "sample_id"))
    return oof_paths, test_paths


def test_members_are_seed_averaged_and_joined_by_id(tmp_path):
    made = experiment(tmp_path)
    members = read_members(*write_members(made), MEMBERS, made.samples, CLASSES)
    by_seed = [tables.probabilities(collect(made, "small", seed)[0]) for seed in (0, 1)]
    assert members.models == ["small", "wide"]
    assert np.allclose(members.seed_averaged_oof()[0], np.mean(by_seed, axis=0), atol=1e-6)
    assert members.seed_averaged_test().shape == (2, 3, 30, 3)
    labels = made.samples.set_index("sample_id")["label"]
    assert np.array_equal(members.labels, labels.loc[members.sample_ids])
    assert np.array_equal(members.test_labels, labels.loc[members.test_ids])


def test_members_are_known_by_their_names_not_their_places(tmp_path):
    made = experiment(tmp_path)
    oof_paths, test_paths = write_members(made)
    expected = read_members(oof_paths, test_paths, MEMBERS, made.samples, CLASSES)
    found = read_members(oof_paths[::-1], test_paths, MEMBERS, made.samples, CLASSES)
    assert np.array_equal(found.seed_averaged_oof(), expected.seed_averaged_oof())
    assert not np.array_equal(found.oof["small", 0], found.oof["wide", 0])


@pytest.mark.parametrize("wrong", [lambda paths: paths[:-1], lambda paths: [paths[0], *paths[:-1]]])
def test_files_that_are_not_one_a_member_are_refused(tmp_path, wrong):
    made = experiment(tmp_path)
    oof_paths, test_paths = write_members(made)
    with pytest.raises(FoldstackError, match="not exactly one for each member"):
        read_members(oof_paths, wrong(test_paths), MEMBERS, made.samples, CLASSES)


def test_members_with_other_folds_are_refused(tmp_path):
    made = experiment(tmp_path)
    oof_paths, test_paths = write_members(made)
    frame = tables.read_predictions(oof_paths[2], CLASSES)
    frame["fold"] = np.roll(frame["fold"], 1)
    tables.write_predictions(frame, oof_paths[2], CLASSES)
    with pytest.raises(FoldstackError, match="other samples or folds"):
        read_members(oof_paths, test_paths, MEMBERS, made.samples, CLASSES)


def test_a_test_table_without_one_fold_is_refused(tmp_path):
    made = experiment(tmp_path)
    oof_paths, test_paths = write_members(made)
    frame = tables.read_predictions(test_paths[0], CLASSES, keys=("fold", "sample_id"))
    tables.write_predictions(frame[frame["fold"] != 1], test_paths[0], CLASSES, keys=("fold", "sample_id"))
    with pytest.raises(FoldstackError, match="3 folds"):
        read_members(oof_paths, test_paths, MEMBERS, made.samples, CLASSES)
