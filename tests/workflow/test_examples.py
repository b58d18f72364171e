"""The configs in config/examples are valid, and plan the runs that they describe (`make examples` runs them)."""

import re
import subprocess
import sys

import pytest
from example_inputs import EXAMPLES, FOLDER, files_of, read_example, write_inputs

from foldstack.config import resolve as configuration


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_an_example_config_is_valid_and_plans_its_runs(example, project, monkeypatch):
    made, config = project({}), read_example(example)
    write_inputs(config, made.folder)
    for path in files_of(example):
        configuration.check_file(path)
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--cores", "2", "--configfile"]
    done = subprocess.run(
        [*command, *files_of(example)], cwd=made.folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.chdir(made.folder)
    resolved = configuration.resolve(config)
    assert resolved["experiment"].startswith(example.stem)
    members = sum(len(seeds) for seeds in configuration.members(resolved).values())
    runs = members * resolved["folds"]["n_splits"]
    assert re.search(rf"train_fold\s+{runs}\b", done.stdout + done.stderr)


def test_a_config_in_json_plans_all_runs_of_its_grid(project):
    made = project(read_example(FOLDER / "ablation.yaml"))
    made.configfile = "config.json"
    done = made.run("-n", "--quiet", "rules")
    plan = done.stdout + done.stderr
    runs = 3 * (1 + 4 + 2 + 2 + 1 + 1)  # folds; the baseline, each other level, and the combination
    assert re.search(rf"train_fold\s+{runs}\b", plan)
    assert re.search(r"tabulate_factors\s+1\b", plan)
