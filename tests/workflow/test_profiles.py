"""profiles/slurm, as far as a machine without Slurm can tell; `make test-slurm` has a real one."""

import os
import stat

import yaml
from conftest import ROOT

SBATCH = '#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked.txt"\nexit 1\n'


def profile(path):
    return yaml.safe_load((ROOT / "profiles" / path).read_text())


def test_the_slurm_profile_keeps_every_entry_of_the_default_profile_but_its_limit_of_one_card():
    default, slurm = profile("default/config.v9+.yaml"), profile("slurm/config.yaml")
    assert default.pop("resources") == ["gpu=1"]
    assert {key: slurm.get(key) for key in default} == default
    assert "resources" not in slurm


def test_a_run_asks_slurm_for_its_card_memory_and_time_from_a_machine_without_cards(copy_of_finished, tmp_path):
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(SBATCH)
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    made = copy_of_finished
    path = f"{sbatch.parent}{os.pathsep}{os.environ['PATH']}"
    target = "results/tiny/models/{}/seed0/fold0/run.json"
    done = made.run(
        *(target.format(model) for model in ("cnn", "vit")),
        *("--forcerun", "train_fold", "--workflow-profile", "profiles/slurm", "--retries", "0"),
        check=False,
        env={"PATH": path},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    asked = {line.split("--comment ")[1].split()[0]: line for line in (sbatch.parent / "asked.txt").open()}
    assert set(asked) == {f"rule_train_fold_wildcards_{model}_0_0" for model in ("cnn", "vit")}
    for words in asked.values():
        assert " --gpus=1 " in words
        assert " --mem 16000 " in words
        assert " -t 720 " in words
