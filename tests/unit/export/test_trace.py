"""foldstack.export, trace, tracing and early: one graph for all weights of a network, made before any is trained."""

import fake_nets
import numpy as np
import pytest
import torch
from timm.models import nest

from foldstack.errors import FoldstackError
from foldstack.export import early, tracing
from foldstack.export.model import export_model
from foldstack.export.session import input_shape, open_session, run_batches
from foldstack.export.trace import Trace
from foldstack.models import network
from foldstack.models.network import Classifier, load_classifier, save_classifier

CONFIG = {"image_size": None, "tta": [], "temperature": True, "gradient_checkpointing": False, "options": {}}
DATASET = fake_nets.metadata("cnn") | {"reading": {}}


@pytest.fixture
def traces(monkeypatch):
    """What was traced."""
    made = []
    real = tracing.trace
    monkeypatch.setattr(tracing, "trace", lambda *given: made.append(real(*given)) or made[-1])
    return made


def check(runs, path, load=load_classifier, traced=(), **kind):
    """Export two folds; every fold must give what torch gives."""
    metadata = export_model(runs, path, fake_nets.metadata("cnn", **kind), traced)
    images = fake_nets.random_pixels(9, input_shape(metadata))
    _, folds = run_batches(open_session(path)[0], images)
    with torch.inference_mode():
        each = [load(weights)(torch.from_numpy(images)).double().softmax(-1).numpy() for _, _, weights in runs]
    np.testing.assert_allclose(folds, np.stack(each, axis=1), atol=3e-5)
    assert np.abs(folds[:, 0] - folds[:, 1]).max() > 0.05


def test_one_trace_serves_all_weights_and_every_temperature(tmp_path, traces):
    runs = fake_nets.save_runs(tmp_path, "vit", seeds=(0,), stored=(12, 12))
    for temperature, (_, _, path) in zip((0.5, 3.0), runs, strict=True):
        net = load_classifier(path)
        net.spec["temperature"] = temperature
        save_classifier(net, path)
    check(runs, tmp_path / "m.onnx")
    assert len(traces) == 1
    traces[0].save(tmp_path / "trace.onnx")
    again = Trace.load(tmp_path / "trace.onnx")
    assert again.digest == traces[0].digest
    before = (tmp_path / "m.onnx").read_bytes()
    check(runs, tmp_path / "m.onnx", traced=[again])
    assert len(traces) == 1
    assert (tmp_path / "m.onnx").read_bytes() == before


def test_a_fold_of_another_structure_is_traced_by_itself(tmp_path, traces):
    runs = fake_nets.save_runs(tmp_path, "cnn", seeds=(0,))
    torch.manual_seed(5)
    spec = load_classifier(runs[1][2]).spec
    wider = Classifier(spec | {"options": {"width": 6}})
    fake_nets.enliven(wider, torch.from_numpy(fake_nets.random_pixels(40, (12, 12, 3))))
    save_classifier(wider, runs[1][2])
    check(runs, tmp_path / "m.onnx")
    assert len(traces) == 2


class Coloured(Classifier):
    """A network with a tensor that its weights file does not hold, and that differs between runs."""

    def forward(self, pixels):
        return super().forward(pixels) * (1 + self.colour)


def coloured(path):
    net = load_classifier(path)
    random = torch.Generator().manual_seed(int(path.parent.name[-1]))
    net.register_buffer("colour", torch.rand(3, generator=random), persistent=False)
    net.__class__ = Coloured
    return net


def test_tensors_beside_the_weights_are_compared_before_a_trace_is_shared(tmp_path, traces, monkeypatch):
    runs = fake_nets.save_runs(tmp_path, "cnn", seeds=(0,))
    monkeypatch.setattr(network, "load_classifier", coloured)
    check(runs, tmp_path / "m.onnx", coloured)
    assert [list(trace.constants) for trace in traces] == [["colour"], ["colour"]]
    assert [[trace.fits(weights) for _, _, weights in runs] for trace in traces] == [[True, False], [False, True]]


@pytest.mark.parametrize("fused", [False, True])
def test_timms_fused_attention_is_unfused(monkeypatch, fused):
    """PyTorch's exporter has no form of it for the five dimensions of some architectures."""
    spec = {"architecture": "small_cnn", "options": {}, "image_size": [32, 32], "store_size": [32, 32]}
    net = Classifier(spec | {"channels": 3, "task": "images", "classes": fake_nets.CLASSES})
    sizes = {"embed_dims": (8, 16, 32), "num_heads": (1, 2, 4), "depths": (1, 1, 1)}
    net.architecture = nest.Nest(img_size=32, num_classes=3, **sizes)
    if fused:
        monkeypatch.setattr(tracing, "unfuse_attention", lambda module: None)
        with pytest.raises(FoldstackError, match=r"Model 'm' .* cannot be written as ONNX \(.*; choose another"):
            tracing.trace(net.eval(), "m")
    else:
        assert len(tracing.trace(net.eval(), "m").weights) > 30


def test_the_early_trace_measures_what_the_runs_will_have(tmp_path):
    config = CONFIG | {"architecture": "small_cnn", "options": {"width": 4}}
    traced, record = early.trace_model("cnn", config, DATASET)
    runs = fake_nets.save_runs(tmp_path, "cnn", seeds=(0, 1))
    net = load_classifier(runs[0][2])
    assert record["classes"] == 3
    assert record["image_size"] == record["store_size"] == [12, 12]
    assert record["max_abs_difference"] < 1e-6
    assert record["parameters"] == sum(value.numel() for value in net.parameters())
    assert record["state_bytes"] == sum(value.nbytes for value in net.state_dict().values())
    assert 0.9 < record["network_bytes"] / record["state_bytes"] <= 1
    export_model(runs, tmp_path / "m.onnx", fake_nets.metadata("cnn"))
    told = 4 * (record["network_bytes"] + record["graph_bytes"])
    assert 0.5 < told / (tmp_path / "m.onnx").stat().st_size < 2
    larger = DATASET | {"image_size": [24, 24]}
    _, four_times = early.trace_model("cnn", config, larger)
    assert four_times["structure"] != traced.digest
    assert 3.5 < four_times["activation_bytes_per_sample"] / record["activation_bytes_per_sample"] < 4.5


def test_activations_are_those_that_the_backward_pass_reads():
    spec = {"architecture": "small_cnn", "options": {}, "image_size": [8, 8], "store_size": [8, 8]}
    net = Classifier(spec | {"channels": 3, "task": "images", "classes": ["a", "b"]})
    net.architecture = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(192, 50), torch.nn.ReLU(), torch.nn.Linear(50, 2)
    )
    # The input of the first layer, and the output of the activation, which is the input of the second.
    pixels = torch.zeros((2, 8, 8, 3), dtype=torch.uint8)
    assert early.activation_bytes(net, pixels) == 2 * (192 + 50) * 4
