"""foldstack.training.precision: which floats a run trains in; mixed learns, resumes exactly, scores in float32."""

import json
import types

import numpy as np
import pytest
import torch
from training_inputs import CLASSES, read_bytes, train, write_inputs

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.models.network import load_classifier
from foldstack.training import checkpoint, loop
from foldstack.training.precision import Precision

CPU, GPU = torch.device("cpu"), types.SimpleNamespace(type="cuda")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def gpu(monkeypatch):
    """Makes this process believe in a GPU with or without bfloat16."""

    def make(bfloat16: bool):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "An Old GPU")
        monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: types.SimpleNamespace(enabled=enabled))

    return make


def test_auto_follows_the_device(gpu):
    assert Precision("auto", CPU).dtype is torch.float32
    gpu(bfloat16=True)
    assert Precision("auto", GPU).dtype is torch.bfloat16
    assert not Precision("auto", GPU).scaler.enabled
    gpu(bfloat16=False)
    assert Precision("auto", GPU).dtype is torch.float16
    assert Precision("auto", GPU).scaler.enabled
    with pytest.raises(FoldstackError, match="An Old GPU has no bfloat16; set precision: auto"):
        Precision("bfloat16", GPU)


def test_float32_is_exactly_what_auto_gives_on_the_cpu(inputs, tmp_path):
    same = [read_bytes(train(inputs, tmp_path / name, precision=name)) for name in ("auto", "float32")]
    assert same[0] == same[1]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_and_is_scored_in_float32(inputs, tmp_path, precision):
    outputs = train(inputs, tmp_path, epochs=8, augmentation="none", precision=precision)
    assert json.loads(outputs["run"].read_text())["precision"] == precision
    oof = tables.read_predictions(outputs["oof"], CLASSES)
    samples = tables.read_samples(inputs["samples"]).set_index("sample_id").loc[oof["sample_id"]]
    assert (tables.probabilities(oof).argmax(axis=1) == samples["label"].to_numpy()).mean() > 0.9
    classifier = load_classifier(outputs["weights"])
    assert {value.dtype for value in classifier.parameters()} == {torch.float32}
    with torch.inference_mode():
        logits = classifier(torch.from_numpy(np.load(inputs["pixels"])[samples["row"]]))
    np.testing.assert_allclose(logits.numpy(), tables.logits(oof), atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_stopped_run_goes_on_with_the_same_bytes(inputs, tmp_path, monkeypatch, precision):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(checkpoint, "SHARE_OF_TIME", float("inf"))
    whole = read_bytes(train(inputs, tmp_path / "whole", precision=precision))

    def crash(**fields):
        if fields["step"] == 5:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        train(inputs, tmp_path / "parts", precision=precision, report=crash)
    assert read_bytes(train(inputs, tmp_path / "parts", precision=precision)) == whole


def test_an_overflow_leaves_the_step_out_and_scales_less(inputs, tmp_path, monkeypatch):
    """The first scale, 65,536, is too much for this loss, as it may be at the start of any run in float16."""
    scales = []
    step = Precision.step

    def noted(self, optimizer):
        step(self, optimizer)
        scales.append(self.scaler.get_scale())

    monkeypatch.setattr(Precision, "step", noted)
    backward = Precision.backward
    monkeypatch.setattr(Precision, "backward", lambda self, loss: backward(self, loss * 100))
    outputs = train(inputs, tmp_path, precision="float16", epochs=2)
    assert scales[0] < 65536
    assert all(torch.isfinite(value).all() for value in load_classifier(outputs["weights"]).state_dict().values())
