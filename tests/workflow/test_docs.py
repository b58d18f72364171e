"""Pages that are made from the code stay in step with it, and links lead somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from foldstack import config as configuration

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "config" / "examples"
EXAMPLES = sorted(FOLDER.rglob("*.yaml"))
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


def merged(config: dict, larger: dict) -> dict:
    """What Snakemake makes of two --configfile."""
    for key, value in larger.items():
        config[key] = merged(config[key], value) if isinstance(value, dict) and config.get(key) else value
    return config


def read_example(example: Path) -> dict:
    """The config; of a file in larger/ both together."""
    config = yaml.safe_load(example.read_text())
    small = example.parent.parent / example.name
    return merged(yaml.safe_load(small.read_text()), config) if example.parent.name == "larger" else config


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_an_example_config_is_valid(example, tmp_path, monkeypatch):
    configuration.check_file(example)
    monkeypatch.chdir(tmp_path)
    config = read_example(example)
    if config["data"].get("path"):
        Path(config["data"]["path"]).mkdir(parents=True)
    for name in re.findall(r"encoder: ([\w.-]+)", yaml.safe_dump(config)):
        Path(name).mkdir()
        Path(name, "model.safetensors").touch()
    resolved = configuration.resolve(config)
    assert resolved["experiment"].startswith(example.stem)
    assert len({name.lower() for name in resolved["models"]}) == len(resolved["models"])


def test_a_config_in_json_plans_all_runs_of_its_grid(project):
    made = project(read_example(FOLDER / "ablation.yaml"))
    made.configfile = "config.json"
    done = made.run("-n", "--quiet", "rules")
    plan = done.stdout + done.stderr
    runs = 3 * (1 + 4 + 2 + 2 + 1 + 1)  # folds; the baseline, each other level, and the combination
    assert re.search(rf"train_fold\s+{runs}\b", plan)
    assert re.search(r"tabulate_factors\s+1\b", plan)
