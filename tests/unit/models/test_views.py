"""Test-time augmentation and temperature: the same in training, on disk and in the exported graph."""

import json

import fake_nets
import numpy as np
import onnxruntime
import pytest
import torch
from training_inputs import CLASSES, INNER_SPLITS, train, write_inputs

from foldstack import probabilities, tables
from foldstack.errors import FoldstackError
from foldstack.export.model import export_model
from foldstack.models.network import load_classifier, save_classifier
from foldstack.models.views import moved, views
from foldstack.training.losses import log_loss


def test_views_are_all_combinations_and_the_images_come_first():
    images = torch.rand(2, 2, 1, 32, 16)
    seen = list(views(images, ["flip", "shift", "swap"]))
    assert len(seen) == 2 * 5 * 2
    assert len({tuple(view.flatten().tolist()) for view, _ in seen}) == 20
    assert torch.equal(seen[0][0], images)
    assert sum(swapped for _, swapped in seen) == 10
    assert torch.equal(seen[10][0], images.flip(1))
    assert torch.equal(list(views(images, ["flip"]))[1][0], images.flip(-1))
    assert [len(list(views(images, kinds))) for kinds in ([], ["flip"], ["shift"])] == [1, 2, 5]


@pytest.mark.parametrize("by", [1, -3])
def test_moved_images_repeat_their_border(by):
    row = torch.arange(6.0).expand(1, 1, 6, 6)
    expected = torch.arange(6).sub(by).clamp(0, 5).float()
    assert torch.equal(moved(row, -1, by)[0, 0, 2], expected)
    assert torch.equal(moved(row.mT, -2, by)[0, 0, :, 2], expected)


def with_keys(network, **keys):
    network.spec = network.spec | keys
    return network


def test_logits_are_the_mean_over_views_and_exchanged_sides_exchange_classes():
    network = fake_nets.classifier("pair", 0, task="pairs")
    pixels = torch.from_numpy(fake_nets.random_pixels(3, (2, 12, 12, 3)))
    with torch.inference_mode():
        plain, other = network(pixels), network(pixels.flip(1))
        swapped = with_keys(network, tta=["swap"])(pixels)
        torch.testing.assert_close(swapped, (plain + other.flip(1)) / 2)
        torch.testing.assert_close(network(pixels.flip(1)), swapped.flip(1))  # antisymmetric by construction
        torch.testing.assert_close(with_keys(network, temperature=2.5)(pixels), swapped / 2.5)


def test_the_exported_graph_holds_them(tmp_path):
    runs = []
    for fold in range(2):
        network = with_keys(fake_nets.classifier("cnn", fold), tta=["flip", "shift"], temperature=1.5 + fold)
        runs.append((0, fold, tmp_path / f"{fold}.safetensors"))
        save_classifier(network, runs[-1][2])
    export_model(runs, tmp_path / "model.onnx", fake_nets.metadata("cnn"))
    pixels = fake_nets.random_pixels(5, (12, 12, 3))
    mean, folds = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"image": pixels})
    with torch.inference_mode():
        expected = [load_classifier(path)(torch.from_numpy(pixels)).softmax(1).numpy() for _, _, path in runs]
    np.testing.assert_allclose(folds, np.stack(expected, axis=1), atol=1e-5)
    np.testing.assert_allclose(mean, np.mean(expected, axis=0), atol=1e-5)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def test_a_run_fits_its_temperature_on_the_inner_split_and_uses_it_everywhere(inputs, tmp_path):
    config = {"augmentation": "none", "epochs": 6}
    plain = train(inputs, tmp_path / "plain", **config)
    fitted = train(inputs, tmp_path / "fitted", **config, temperature=True)
    value = json.loads(fitted["run"].read_text())["temperature"]
    assert json.loads(plain["run"].read_text())["temperature"] is None
    for key in ("oof", "test"):
        before, after = (tables.logits(tables.read_predictions(run[key], CLASSES)) for run in (plain, fitted))
        np.testing.assert_allclose(after, before / value, rtol=1e-5)
    folds, samples = tables.read_folds(inputs["folds"]), tables.read_samples(inputs["samples"]).set_index("sample_id")
    inner = samples.loc[sorted(folds.loc[(folds["fold"] != 1) & (folds["inner"] == 1 % INNER_SPLITS), "sample_id"])]
    with torch.inference_mode():
        pixels = torch.from_numpy(np.load(inputs["pixels"])[inner["row"]])
        scaled, raw = (load_classifier(run["weights"])(pixels).numpy() for run in (fitted, plain))
    labels = inner["label"].to_numpy()
    assert log_loss(scaled, labels) <= log_loss(raw, labels)
    softmax = torch.softmax(torch.from_numpy(raw).double(), dim=1).numpy()
    assert value == pytest.approx(probabilities.temperature(labels, softmax), rel=1e-3)


def test_views_are_part_of_every_prediction_of_a_run(inputs, tmp_path):
    outputs = train(inputs, tmp_path, tta=["flip"], epochs=1)
    network = load_classifier(outputs["weights"])
    assert network.spec["tta"] == ["flip"]
    oof = tables.read_predictions(outputs["oof"], CLASSES)
    rows = tables.read_samples(inputs["samples"]).set_index("sample_id").loc[oof["sample_id"], "row"]
    with torch.inference_mode():
        images = network.to_float(torch.from_numpy(np.load(inputs["pixels"])[rows]))
        expected = (network.classify(images) + network.classify(images.flip(-1))) / 2
    np.testing.assert_allclose(tables.logits(oof), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("config", "words"),
    [({"tta": ["swap"]}, "swap is for pairs"), ({"temperature": True, "selection": "final"}, "needs an inner split")],
)
def test_what_cannot_be_is_refused(inputs, tmp_path, config, words):
    with pytest.raises(FoldstackError, match=words):
        train(inputs, tmp_path, **config)
