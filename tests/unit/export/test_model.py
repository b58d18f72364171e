"""foldstack.export.model: one file a model, equal to torch at any batch size, with equal bytes for equal runs."""

import json

import fake_nets
import numpy as np
import onnx
import pytest
import torch

from foldstack.errors import FoldstackError
from foldstack.export import trace, tracing
from foldstack.export.model import export_model, order_runs, read_runs
from foldstack.export.session import input_shape, open_session, run_batches
from foldstack.files import write_json
from foldstack.models.network import load_classifier

KINDS = {
    "cnn": {},
    "vit": {"size": (12, 12), "stored": (20, 17), "channels": 1},
    "pair": {"task": "pairs"},
    "resnet": {"size": (32, 32), "stored": (24, 24)},
}


def expected(runs, pixels, n_splits, n_seeds):
    """(N, n_splits, C): the plain reference, one network and one softmax at a time."""
    folds = np.zeros((len(pixels), n_splits, len(fake_nets.CLASSES)))
    for _, fold, weights in runs:
        with torch.inference_mode():
            logits = load_classifier(weights)(torch.from_numpy(pixels)).double().numpy()
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        folds[:, fold] += exponentials / exponentials.sum(axis=1, keepdims=True) / n_seeds
    return folds


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("exported")
    runs = fake_nets.save_runs(root, "cnn", seeds=(5, 0), n_splits=3)
    export_model(runs, root / "cnn.onnx", fake_nets.metadata("cnn"))
    return root / "cnn.onnx", runs


@pytest.mark.parametrize("name", KINDS)
def test_equals_torch_for_every_kind_of_input(tmp_path, name):
    kind = KINDS[name]
    seeds = (0, 1) if name == "cnn" else (0,)
    runs = fake_nets.save_runs(tmp_path, name, seeds=seeds, n_splits=2, **kind)
    export_model(runs, tmp_path / "model.onnx", fake_nets.metadata(name, **kind))
    session, metadata = open_session(tmp_path / "model.onnx")
    pixels = fake_nets.random_pixels(70, input_shape(metadata))
    mean, folds = run_batches(session, pixels)
    reference = expected(runs, pixels, 2, len(seeds))
    # float32 noise: torch itself is up to 1.1e-5 from float64 here, since random networks need a head of large weights
    np.testing.assert_allclose(folds, reference, atol=3e-5)
    np.testing.assert_allclose(mean, reference.mean(axis=1), atol=3e-5)
    assert reference.std(axis=0).max() > 0.05, "networks that ignore their input prove nothing"
    assert np.abs(reference[:, 0] - reference[:, 1]).max() > 0.05, "folds must differ to show their order"


@pytest.mark.parametrize("size", [1, 2, 7, 33])
def test_any_batch_size_gives_the_same_rows(exported, size):
    session, metadata = open_session(exported[0])
    pixels = fake_nets.random_pixels(33, input_shape(metadata))
    whole = session.run(None, {"image": pixels})
    for part, full in zip(session.run(None, {"image": pixels[:size]}), whole, strict=True):
        np.testing.assert_allclose(part, full[:size], atol=1e-6)


def test_the_file_says_what_it_takes_and_gives(exported):
    proto = onnx.load(exported[0])
    onnx.checker.check_model(proto, full_check=True)
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {
        "image": ["batch", 12, 12, 3],
        "probabilities": ["batch", 3],
        "fold_probabilities": ["batch", 3, 3],
    }
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert {opset.domain: opset.version for opset in proto.opset_import}[""] == trace.OPSET
    stored = json.loads({item.key: item.value for item in proto.metadata_props}["foldstack"])
    assert fake_nets.metadata("cnn").items() <= stored.items()
    assert (stored["seeds"], stored["n_splits"]) == ([0, 5], 3)
    assert {"torch", "onnx"} <= set(stored["versions"])


def test_equal_runs_give_equal_bytes_in_any_order_and_without_local_paths(exported, tmp_path):
    path, runs = exported
    export_model(runs[::-1], tmp_path / "again.onnx", fake_nets.metadata("cnn"))
    content = path.read_bytes()
    assert (tmp_path / "again.onnx").read_bytes() == content
    for name in (str(path.parent), str(tracing.__file__), "site-packages", ".py"):
        assert name.encode() not in content


@pytest.mark.parametrize(
    "keys",
    [[], [(0, 0), (0, 2)], [(0, 0), (0, 1), (1, 0)], [(0, 0), (0, 0), (0, 1)], [(0, 1), (0, 2)]],
    ids=["none", "gap", "one seed short", "twice", "not from 0"],
)
def test_incomplete_runs_are_refused(keys):
    with pytest.raises(FoldstackError, match="one run for each seed and fold"):
        order_runs([(seed, fold, "weights.safetensors") for seed, fold in keys])


def test_runs_are_ordered_by_fold_then_seed():
    ordered, seeds, n_splits = order_runs([(7, 1, "d"), (2, 0, "a"), (2, 1, "c"), (7, 0, "b")])
    assert [path for *_, path in ordered] == ["a", "b", "c", "d"]
    assert (seeds, n_splits) == ([2, 7], 2)


class FixedBatch(torch.nn.Module):
    """A network that bakes the batch size of its example into the graph."""

    def __init__(self, path):
        super().__init__()
        self.spec = load_classifier(path).spec

    def forward(self, pixels):
        return pixels.reshape(int(pixels.shape[0]) // 2 * 2, -1)[:, :3].float()


class LeakyBatch(FixedBatch):
    """A network whose rows depend on the rest of their batch."""

    def forward(self, pixels):
        values = pixels.flatten(1)[:, :3].float() / 255
        return 9 * (values - values.mean(dim=0))


@pytest.mark.parametrize(
    ("network", "words"), [(FixedBatch, "batch size"), (LeakyBatch, "model 'cnn' is wrong at a batch of 2")]
)
def test_a_network_that_needs_its_batch_is_refused(exported, tmp_path, monkeypatch, network, words):
    monkeypatch.setattr("foldstack.models.network.load_classifier", network)
    with pytest.raises(FoldstackError, match=words):
        export_model(exported[1], tmp_path / "model.onnx", fake_nets.metadata("cnn"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def run_files(tmp_path):
    record = {"status": "completed", "model": "cnn", "data_digest": "d", "folds_digest": "f"}
    paths = [tmp_path / name / "run.json" for name in ("one", "two")]
    for fold, path in enumerate(paths):
        write_json(path, record | {"seed": 4, "fold": 1 - fold})
    return paths, record


DATASET = {"classes": ["a", "b"], "task": "images", "image_size": [4, 4], "channels": 3, "fit": "pad", "digest": "d"}
TODAY = {"data_digest": "d", "folds_digest": "f"}


def test_seed_and_fold_come_from_run_json_not_from_the_position(run_files):
    paths, _ = run_files
    runs, metadata = read_runs(paths, "cnn", DATASET, TODAY)
    assert runs == [(4, 1 - i, path.parent / "weights.safetensors") for i, path in enumerate(paths)]
    assert metadata["classes"] == ["a", "b"]
    assert (metadata["data_digest"], metadata["folds_digest"]) == ("d", "f")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("status", "status is 'else'"),
        ("model", "model is 'else'"),
        ("data_digest", "was made from other data than the current ones"),
        ("folds_digest", "was made from other folds than the current ones"),
    ],
)
def test_runs_of_something_else_are_refused(run_files, key, words):
    paths, record = run_files
    write_json(paths[1], record | {"seed": 4, "fold": 0, key: "else"})
    with pytest.raises(FoldstackError, match=f"two.*{words}"):
        read_runs(paths, "cnn", DATASET, TODAY)


def test_files_that_are_no_export_are_refused(exported, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(FoldstackError, match=r"broken\.onnx cannot be opened"):
        open_session(tmp_path / "broken.onnx")
    proto = onnx.load(exported[0])
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "bare.onnx")
    with pytest.raises(FoldstackError, match="no Foldstack metadata"):
        open_session(tmp_path / "bare.onnx")
