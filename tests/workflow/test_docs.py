"""Pages that are made from the code stay in step with it, and links lead somewhere."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "config").glob("*.md")])


def test_config_reference_is_current():
    spec = importlib.util.spec_from_file_location("make_config_reference", ROOT / "docs" / "make_config_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "config" / "README.md").read_text() == module.reference(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_named_files_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for target in re.findall(r"`((?:docs|config|rules|workflow|tests|profiles|envs)/[\w./-]+\.\w+)`", text):
        assert (ROOT / target).exists(), f"{page.name} names {target}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_config_plans_all_its_runs(example, project):
    config = yaml.safe_load(example.read_text())
    made = project(config)
    if config["data"].get("path"):
        folder = made.folder / config["data"]["path"] / "a"
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "config" / "examples" / "new-digits" / "digit-1.png", folder)
    done = made.run("-n", "--quiet", "rules")
    folds = config.get("folds", {}).get("n_splits", 5)
    seeds = [block.get("seeds", config["seeds"]) for block in (value or {} for value in config["models"].values())]
    runs = folds * sum(map(len, seeds))
    assert re.search(rf"train_fold\s+{runs}\b", done.stdout + done.stderr)
