"""Fixtures shared by the tests of texts."""

import pytest
from text_inputs import write_encoder

from foldstack.text import fetch


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    """A tiny text encoder as its users have it."""
    return write_encoder(tmp_path_factory.mktemp("given") / "tiny")


@pytest.fixture(scope="module")
def fetched_encoder(encoder_folder, tmp_path_factory):
    """The same encoder as all jobs read it."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny"
    fetch.fetch(str(encoder_folder), folder, folder.with_suffix(".json"))
    return folder
