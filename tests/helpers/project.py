"""A copy of the workflow in a folder of its own, with a config of one's own, to type snakemake in."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "workflow/scripts/foldstack"
CODE = ("Snakefile", "rules", "workflow", "profiles", "config")
TINY = {
    "experiment": "tiny",
    "data": {"format": "digits"},
    "folds": {"n_splits": 2},
    "training": {"epochs": 2, "batch_size": 128},
    "models": {
        "cnn": {"architecture": "small_cnn", "options": {"width": 4}},
        "vit": {"architecture": "small_vit"},
    },
    "stack": {"n_estimators": 10},
    "evaluation": {"bootstrap": 100},
    "predict": {"path": "config/examples/new-digits"},
}


class Project:
    """A checkout in `folder` with the config `self.config`; `run` types snakemake there."""

    configfile = "config.yaml"

    def __init__(self, folder: Path, config: dict):
        self.folder, self.config = folder, config
        folder.mkdir(parents=True, exist_ok=True)
        for name in CODE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, folder / name)

    @property
    def results(self) -> Path:
        return self.folder / "results" / self.config["experiment"]

    def write_config(self) -> None:
        write = json.dumps if self.configfile.endswith(".json") else yaml.safe_dump
        (self.folder / self.configfile).write_text(write(self.config))

    def command(self, *arguments, cores=2) -> list[str]:
        """Words of a snakemake command, to be given in `folder`; writes the config."""
        self.write_config()
        words = [sys.executable, "-m", "snakemake", *arguments]
        return [*words, "--cores", str(cores), "--configfile", self.configfile]

    def environment(self, env=None) -> dict[str, str]:
        """What a snakemake is given: no GPU, the jobs' Python, and `env`, of which None takes a variable away."""
        made = os.environ | {"OMP_NUM_THREADS": "1", "FOLDSTACK_FAKE_GPUS": ""} | (env or {})
        made["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{made['PATH']}"
        return {name: value for name, value in made.items() if value is not None}

    def run(self, *arguments, check=True, cores=2, env=None, timeout=900) -> subprocess.CompletedProcess:
        command = self.command(*arguments, cores=cores)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            logs = "".join(f"\n== {path}\n{path.read_text()[-3000:]}" for path in self.results.rglob("*.log"))
            raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}\n{logs}")
        return done

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace the first `old` in a file of the project."""
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{old!r} is no longer in {name}"
        path.write_text(text.replace(old, new, 1))

    def planned(self, *arguments) -> set[str]:
        """The jobs that a dry run would run, as `rule` or `rule wildcard ...`; `all` left out."""
        text = self.run("-n", *arguments)
        return jobs_in(text.stdout + text.stderr)


def jobs_in(text: str) -> set[str]:
    found = set()
    for block in re.split(r"^(?=(?:local)?(?:rule|checkpoint) \w+:)", text, flags=re.MULTILINE):
        rule = re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", block)
        if rule and rule[1] != "all":
            wildcards = re.search(r"^\s+wildcards: (.*)$", block, re.MULTILINE)
            values = [pair.split("=")[1] for pair in wildcards[1].split(", ")] if wildcards else []
            found.add(" ".join([rule[1], *values]))
    return found


def stacker_scored_on_its_own_rows(project: Project) -> None:
    """A leak, planted for the tests that must see it."""
    project.edit(f"{LIBRARY}/ensemble/stacking.py", "masks = [folds != fold ", "masks = [folds >= 0 ")
