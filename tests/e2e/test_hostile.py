"""Hostile surroundings, as a user meets them: one clear sentence, and the same command afterwards is right."""

import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

STAGE = "results/tiny/folds/folds.json"
WITHOUT_POWERS = ["capsh", "--drop=cap_dac_override,cap_dac_read_search", "--", "-c", 'exec "$0" "$@"']


@pytest.fixture
def made(project):
    """A project on 40 small images in an NPZ file."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    made = project(
        {
            "experiment": "tiny",
            "data": {"format": "npz", "path": "data.npz"},
            "folds": {"n_splits": 2, "inner_splits": 2},
            "models": {"small_cnn": {"epochs": 1}},
        }
    )
    np.savez(made.folder / "data.npz", x=pixels, y=np.arange(40) % 2)
    made.write_config()
    return made


def snakemake(made, *before, **options) -> str:
    """Type the command; it must fail without a traceback. What the terminal shows."""
    command = [*before, sys.executable, "-m", "snakemake", STAGE, "--cores", "1", "--configfile", "config.yaml"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=made.folder, env=environment, capture_output=True, text=True, timeout=300, check=False, **options
    )
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "Traceback" not in text
    assert "CalledProcessError" not in text
    return text


def comes_right(made) -> None:
    made.run(STAGE)
    assert (made.folder / STAGE).exists()
    assert not [path for path in made.results.rglob(".*") if path.name != ".lock"]


def test_a_full_disk(made):
    """A file may not grow beyond 16 kB, as if the disk were full; Snakemake copies the rules, which are smaller."""
    text = snakemake(made, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384)))
    assert "✗ prepare_data: The disk is full, or a file reached its size limit" in text
    comes_right(made)


def test_data_that_vanish_between_planning_and_running(made):
    shutil.copy(made.folder / "data.npz", made.folder / "kept")
    snakefile = made.folder / "Snakefile"
    plain = snakefile.read_text()
    snakefile.write_text(plain + "\n\nPath('data.npz').unlink(missing_ok=True)\n")
    text = snakemake(made)
    assert "✗ prepare_data: data.path: 'data.npz' is neither an .npz file nor a folder with train.npz" in text
    snakefile.write_text(plain)
    assert "Config: data.path 'data.npz' does not exist" in snakemake(made)
    (made.folder / "kept").rename(made.folder / "data.npz")
    comes_right(made)


@pytest.mark.parametrize("folder", [".", "results/tiny/data"])
def test_a_read_only_folder(made, folder):
    if os.geteuid() == 0 and not shutil.which("capsh"):
        pytest.skip("root may write everywhere, and there is no capsh to take that away")
    (made.folder / folder).mkdir(parents=True, exist_ok=True)
    (made.folder / folder).chmod(0o555)
    try:
        text = snakemake(made, *(WITHOUT_POWERS if os.geteuid() == 0 else ()))
    finally:
        if (made.folder / folder).exists():  # snakemake tidies away a folder that is left empty
            (made.folder / folder).chmod(0o755)
    assert "cannot be written" in text or "✗ prepare_data: Not allowed to read or write" in text
    comes_right(made)


def test_a_second_snakemake_is_refused_and_another_experiment_is_not(made):
    holder = (
        "import sys; sys.path.insert(0, 'workflow/scripts'); from pathlib import Path\n"
        "from foldstack.jobs import lock\n"
        "lock.hold(Path('results/tiny')); print('held', flush=True); sys.stdin.read()"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", holder], cwd=made.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout.readline()
        text = snakemake(made)
        assert f"Another snakemake (process {first.pid} on" in text
        assert "wait until it ends, stop it" in text
        assert not (made.folder / "results/tiny/data").exists()
        made.config["experiment"] = "other"
        made.run("results/other/folds/folds.json")
        made.config["experiment"] = "tiny"
    finally:
        first.kill()  # as by kill -9: nothing is left behind
        first.communicate()
    comes_right(made)
