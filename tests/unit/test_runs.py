"""foldstack.runs: the rules write what the library looks for."""

import re
from pathlib import Path

import pytest

from foldstack import runs

RULES = Path(__file__).resolve().parents[2] / "rules"


@pytest.mark.parametrize(("file", "rule"), [("train.smk", runs.RUN_RULE), ("student.smk", "train_student")])
def test_a_run_leaves_the_files_that_its_rule_names(file, rule):
    body = re.split(rf"^rule {rule}:$", (RULES / file).read_text(), flags=re.MULTILINE)[1]
    outputs = re.search(r"^    output:\n(.*?)^    log:", body, re.MULTILINE | re.DOTALL)[1]
    assert dict(re.findall(r'(\w+)="[^"]*/([\w.]+)",', outputs)) == runs.RUN_FILES


def test_records_of_one_model_or_of_all_are_found_in_order(tmp_path):
    wanted = [runs.run_folder(tmp_path, model, seed, fold) for model in ("a", "b") for seed, fold in ((0, 1), (3, 0))]
    for folder in wanted:
        folder.mkdir(parents=True)
        (folder / "run.json").touch()
    (tmp_path / "models" / "a" / "seed0" / "fold1" / "other.json").touch()
    assert runs.run_records(tmp_path) == [folder / "run.json" for folder in wanted]
    assert runs.run_records(tmp_path, "b") == [folder / "run.json" for folder in wanted[2:]]
    assert runs.beside(wanted[0] / "run.json", "oof") == wanted[0] / "oof.arrow"
