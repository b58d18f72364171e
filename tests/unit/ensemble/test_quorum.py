"""Members that failed: recorded, left out whole, named, and removed so that they are tried again."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from foldstack.ensemble import quorum
from foldstack.errors import FoldstackError
from foldstack.jobs.failed_run import failure_recorded
from foldstack.runs import RUN_FILES


def job(results, model, fold, tolerate=True):
    """What a script is given by Snakemake."""
    folder = results / "models" / model / "seed0" / f"fold{fold}"
    folder.mkdir(parents=True)
    wildcards = SimpleNamespace(model=model, seed="0", fold=str(fold))
    output = {key: str(folder / name) for key, name in RUN_FILES.items()}
    return SimpleNamespace(params={"tolerate": tolerate}, output=output, wildcards=wildcards)


def completed(snakemake):
    for path in snakemake.output.values():
        with open(path, "w") as stream:
            json.dump({"model": snakemake.wildcards.model, "seed": 0, "fold": 0, "status": "completed"}, stream)


def run_and_fail(snakemake, error):
    run = SimpleNamespace(model=snakemake.wildcards.model, seed=0, fold=int(snakemake.wildcards.fold))
    with failure_recorded(run, snakemake.output, tolerate=snakemake.params["tolerate"]):
        raise error


@pytest.mark.parametrize(
    ("error", "reason"),
    [(FoldstackError("It diverged; lower lr."), "It diverged; lower lr."), (MemoryError("full"), "MemoryError: full")],
)
def test_a_failure_is_recorded_with_its_reason_beside_empty_files(tmp_path, error, reason):
    snakemake = job(tmp_path, "vit", 1)
    run_and_fail(snakemake, error)
    record = json.loads(Path(snakemake.output["run"]).read_text())
    assert (record["status"], record["reason"], record["fold"]) == ("failed", reason, 1)
    assert all(quorum.is_empty(snakemake.output[key]) for key in ("weights", "oof", "test", "history"))


@pytest.mark.parametrize("error", [SystemExit(143), KeyboardInterrupt()])
def test_a_signal_is_no_failure_of_the_run(tmp_path, error):
    snakemake = job(tmp_path, "vit", 0)
    with pytest.raises(type(error)):
        run_and_fail(snakemake, error)
    assert not (tmp_path / "models/vit/seed0/fold0/run.json").exists()


def test_without_a_quorum_a_failure_stays_an_error(tmp_path):
    snakemake = job(tmp_path, "vit", 0, tolerate=False)
    with pytest.raises(FoldstackError, match="boom"):
        run_and_fail(snakemake, FoldstackError("boom"))


def test_one_failed_fold_takes_the_whole_seed_out_and_only_it_is_removed(tmp_path):
    good, bad, other = job(tmp_path, "vit", 0), job(tmp_path, "vit", 1), job(tmp_path, "cnn", 0)
    completed(good)
    completed(other)
    run_and_fail(bad, FoldstackError("boom."))
    files = [run.output["run"] for run in (good, bad, other)]
    assert quorum.whole_members(files) == [other.output["run"]]
    text = quorum.banner(quorum.described([["vit", 0]], files))
    assert "vit seed 0 (fold 1: boom.)" in text
    assert [path.name for path in quorum.remove_failed(tmp_path)] == ["fold1"]
    left = {path.relative_to(tmp_path / "models").parts[:3] for path in tmp_path.rglob("*.*")}
    assert left == {("vit", "seed0", "fold0"), ("cnn", "seed0", "fold0")}


def oof_files(tmp_path, empty, seeds):
    files = []
    for model, own in seeds.items():
        for seed in own:
            path = tmp_path / model / f"seed{seed}.arrow"
            path.parent.mkdir(exist_ok=True)
            path.write_text("" if (model, seed) in empty else "x")
            files.append(path)
    return files


SEEDS = {"cnn": [0, 1], "vit": [0, 1], "res": [0]}


@pytest.mark.parametrize(("asked", "enough"), [(1.0, False), (0.81, False), (0.8, True), (0.0, True)])
def test_the_quorum_is_a_share_of_members(tmp_path, asked, enough):
    files = oof_files(tmp_path, {("res", 0)}, SEEDS)
    if enough:
        seeds, out = quorum.with_quorum(SEEDS, files, asked)
        assert (seeds, out) == ({"cnn": [0, 1], "vit": [0, 1]}, [("res", 0)])
    else:
        with pytest.raises(FoldstackError, match=r"Only 4 of 5 members .* res seed 0 have missing runs"):
            quorum.with_quorum(SEEDS, files, asked)


def test_nobody_is_never_enough_and_everybody_always_is(tmp_path):
    everyone = {(model, seed) for model, own in SEEDS.items() for seed in own}
    with pytest.raises(FoldstackError, match="Only 0 of 5"):
        quorum.with_quorum(SEEDS, oof_files(tmp_path, everyone, SEEDS), 0.0)
    assert quorum.with_quorum(SEEDS, oof_files(tmp_path, set(), SEEDS), 1.0) == (SEEDS, [])
    assert quorum.banner([]) == ""
