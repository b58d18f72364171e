"""Fixtures shared by all tests: a copy of the workflow in a folder of its own, and a finished tiny run of it."""

import fcntl
import shutil

import pytest
import yaml
from project import TINY, Project


def pytest_collection_modifyitems(items):
    """Training before the other unit tests: once torch.export has run in a process, autograd refuses to be forked."""
    items.sort(key=lambda item: "unit" in item.path.parts and "training" not in item.path.parts)


@pytest.fixture
def project(tmp_path):
    """Makes a Project with a config of one's own."""
    return lambda config: Project(tmp_path / "project", config)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """A finished tiny run; made once for all workers. Do not change it: take `copy_of_finished`."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent
    folder = shared / "finished"
    with open(shared / "finished.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            Project(folder, TINY).run()
            (folder / "done").touch()
    made = Project.__new__(Project)
    made.folder, made.config = folder, TINY
    return made


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    """The finished run in a folder of the test's own, times kept."""
    made = Project.__new__(Project)
    made.folder, made.config = tmp_path / "copy", yaml.safe_load(yaml.safe_dump(finished.config))
    shutil.copytree(finished.folder, made.folder, symlinks=True)
    return made


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    """A tiny text encoder as its users have it."""
    from text_inputs import write_encoder

    return write_encoder(tmp_path_factory.mktemp("given") / "tiny")


@pytest.fixture(scope="module")
def fetched_encoder(encoder_folder, tmp_path_factory):
    """The same encoder as all jobs read it."""
    from foldstack.text import fetch

    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    fetch.fetch(str(encoder_folder), folder, folder.with_suffix(".json"))
    return folder
