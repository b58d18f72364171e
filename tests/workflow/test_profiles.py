"""profiles/slurm, as far as a machine without Slurm can tell; `make test-slurm` has a real one."""

import os
import re

import yaml
from project import ROOT

PROGRAMS = {
    "sbatch": '#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked.txt"\nexit 1\n',
    "sinfo": "#!/bin/sh\necho 'cpu*'\n",
    "sacct": "#!/bin/sh\n",  # for the plugin they must be there
    "squeue": "#!/bin/sh\n",
}


def profile(path):
    return yaml.safe_load((ROOT / "profiles" / path).read_text())


def test_the_slurm_profile_keeps_every_entry_of_the_default_profile_but_its_limit_of_one_gpu():
    default, slurm = profile("default/config.v9+.yaml"), profile("slurm/config.yaml")
    assert default.pop("resources") == ["gpu=1"]
    assert {key: slurm.get(key) for key in default} == default
    assert "resources" not in slurm


def test_a_run_asks_slurm_for_its_gpu_memory_and_time_from_a_machine_without_gpus(copy_of_finished, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in PROGRAMS.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    made = copy_of_finished
    target = "results/tiny/models/{}/seed0/fold0/run.json"
    done = made.run(
        *(target.format(model) for model in ("cnn", "vit")),
        *("--forcerun", "train_fold", "--workflow-profile", "profiles/slurm", "--retries", "0"),
        check=False,
        env={"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = (programs / "asked.txt").read_text().splitlines()
    asked = {line.split("--comment ")[1].split()[0]: line for line in lines}
    assert set(asked) == {f"rule_train_fold_wildcards_{model}_0_0" for model in ("cnn", "vit")}
    for words in asked.values():
        assert " --gpus=1 " in words
        assert re.search(r" --mem \d{4} ", words), "what is estimated for the network, not the 16,000 MB before that"
        assert " -t 60 " in words, "three times what the recorded run took, at least an hour"


def test_every_rule_that_trains_asks_slurm_for_what_a_run_takes():
    """By an estimate, which the runs of a check inherit, or by the profile."""
    asked = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())["set-resources"]
    training = [path for path in (ROOT / "rules").glob("*.smk") if "run_places(" in path.read_text()]
    rules = {
        name
        for path in training
        for block in re.split(r"^(?=(?:use )?rule )", path.read_text(), flags=re.MULTILINE)
        if "**run_places(" in block
        for name in [re.match(r"(?:use rule \w+ as|rule) (\w+)", block)[1]]
    }
    assert rules == {"train_fold", "check_train_fold", "train_student"}
    assert '**needs("train_fold")' in (ROOT / "rules" / "train.smk").read_text()
    assert rules & set(asked) == {"train_student"}, "the profile would take the place of the estimate"
