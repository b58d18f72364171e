"""Out of memory: the effective batch stays, what was done is recorded, and what cannot be helped is said."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from training_inputs import CLASSES, read_bytes, train, write_inputs

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.models.network import Classifier, load_classifier
from foldstack.training import checkpoint, loop
from foldstack.training.memory import in_halves, is_out_of_memory

MESSAGE = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"
ERRORS = {
    "cuda": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB"),
    "torch": RuntimeError("[enforce fail at alloc_cpu.cpp:127] . " + MESSAGE),
    "windows": RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you"),
    "python": MemoryError(),
}
# Dropout draws anew for each part, and Adam makes much of gradients as small as rounding.
PLAIN = {"options": {"width": 4, "dropout": 0.0}, "epochs": 2, "optimizer": "sgd", "selection": "final"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def gpu_of(monkeypatch):
    """`gpu_of(n)`: from now on, a pass of more than n samples runs out of memory; returns the sizes tried."""

    def make(limit, error=ERRORS["cuda"], training=True, after=False):
        tried, classify = [], Classifier.classify

        def limited(self, images):
            logits = classify(self, images) if after else None
            if self.training == training:
                tried.append(len(images))
                if len(images) > limit:
                    raise error
            return classify(self, images) if logits is None else logits

        monkeypatch.setattr(Classifier, "classify", limited)
        return tried

    return make


@pytest.fixture
def no_batch_norm(monkeypatch):
    """Layers whose result for a sample does not depend on the others."""
    monkeypatch.setattr(torch.nn, "BatchNorm2d", lambda channels: torch.nn.GroupNorm(1, channels))


def run_of(outputs) -> dict:
    return json.loads(outputs["run"].read_text())


@pytest.mark.parametrize("kind", ERRORS)
def test_what_is_out_of_memory(kind):
    assert is_out_of_memory(ERRORS[kind])


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("not enough memory"), OSError()])
def test_what_is_not(error):
    assert not is_out_of_memory(error)


def test_the_allocators_own_error_is_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(("limit", "micro_batch"), [(16, None), (15, 8), (8, 8), (5, 4), (1, 1)])
def test_the_effective_batch_stays(inputs, tmp_path, gpu_of, no_batch_norm, capsys, limit, micro_batch):
    whole = train(inputs, tmp_path / "whole", **PLAIN)
    capsys.readouterr()
    tried = gpu_of(limit)
    outputs = train(inputs, tmp_path / "run", **PLAIN)
    assert run_of(outputs)["micro_batch"] == micro_batch
    assert sum(size > limit for size in tried) <= 4  # the size that fits is kept
    expected = load_classifier(whole["weights"]).state_dict()
    for name, value in load_classifier(outputs["weights"]).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6)
    losses = [pd.read_csv(files["history"])["train_loss"] for files in (whole, outputs)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    printed = capsys.readouterr().out.count("memory ran out")
    assert printed == (micro_batch is not None)
    if micro_batch is None:
        assert read_bytes(outputs) == read_bytes(whole)


@pytest.mark.parametrize("kind", ["torch", "python"])
def test_memory_of_the_cpu(inputs, tmp_path, gpu_of, kind):
    gpu_of(8, ERRORS[kind])
    assert run_of(train(inputs, tmp_path, **PLAIN))["micro_batch"] == 8


def test_a_failed_attempt_leaves_no_trace(inputs, tmp_path, monkeypatch, gpu_of):
    """Batch normalisation has counted the batch by the time that memory runs out behind it."""
    with monkeypatch.context():
        gpu_of(8)
        before = train(inputs, tmp_path / "before")
    monkeypatch.undo()
    gpu_of(8, after=True)
    assert read_bytes(train(inputs, tmp_path / "after")) == read_bytes(before)


def test_predictions_in_halves(inputs, tmp_path, gpu_of, capsys):
    whole = train(inputs, tmp_path / "whole")
    tried = gpu_of(7, training=False)
    outputs = train(inputs, tmp_path / "run")
    assert run_of(outputs)["micro_batch"] is None
    assert capsys.readouterr().out.count("predicting 4 samples at a time") == 1
    assert sum(size > 7 for size in tried) <= 6
    for key in ("oof", "test"):
        logits = [tables.logits(tables.read_predictions(files[key], CLASSES)) for files in (whole, outputs)]
        np.testing.assert_allclose(*logits, atol=1e-4)


def test_nothing_fits(inputs, tmp_path, gpu_of):
    gpu_of(0)
    with pytest.raises(FoldstackError, match=r"^Model tiny, seed 0, fold 1 does not fit into memory.*lower image_size"):
        train(inputs, tmp_path / "run", **PLAIN)
    assert not list((tmp_path / "run").glob("*.*"))


def test_batch_normalisation_of_single_values_is_said_as_what_it_is(inputs, tmp_path, gpu_of, monkeypatch):
    gpu_of(1)

    def verify(size):
        if size[0] == 1:  # as for maps of one pixel
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")

    monkeypatch.setattr(torch.nn.functional, "_verify_batch_size", verify)
    with pytest.raises(FoldstackError, match=r"^Model tiny, seed 0, fold 1 .*too few for batch normalisation"):
        train(inputs, tmp_path)


def test_other_errors_pass(inputs, tmp_path, gpu_of):
    gpu_of(8, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(inputs, tmp_path)
    with pytest.raises(ValueError, match="broken"):
        in_halves(lambda size: (_ for _ in ()).throw(ValueError("broken")), 8)


def test_the_checkpoint_remembers_the_micro_batch(inputs, tmp_path, gpu_of, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(checkpoint, "SHARE_OF_TIME", float("inf"))
    tried = gpu_of(8)
    reference = train(inputs, tmp_path / "whole")

    def crash(**fields):
        if fields["step"] == 5:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        train(inputs, tmp_path / "run", report=crash)
    tried.clear()
    resumed = train(inputs, tmp_path / "run")
    assert max(tried) == 8  # no second failure
    assert read_bytes(resumed) == read_bytes(reference)
    assert run_of(resumed)["micro_batch"] == 8
