"""Preprocessing inside the network, and its file."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from foldstack.errors import FoldstackError
from foldstack.models import registry
from foldstack.models.network import Classifier, load_classifier, save_classifier

SPEC = {
    "architecture": "small_cnn",
    "options": {"width": 4},
    "image_size": [12, 16],
    "store_size": [12, 16],
    "channels": 3,
    "task": "images",
    "classes": ["cat", "dog"],
}


def make(**changes) -> Classifier:
    torch.manual_seed(0)
    classifier = Classifier(SPEC | changes)
    classifier.set_statistics(pixels(classifier.spec, 20))
    return classifier.eval()


def pixels(spec, n=5):
    pair = (2,) if spec["task"] == "pairs" else ()
    shape = (n, *pair, *spec["store_size"], spec["channels"])
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def as_task(architecture):
    options = SPEC["options"] if architecture in ("small_cnn", "siamese") else {}
    size = [16, 32] if architecture.startswith("test_") else SPEC["image_size"]
    return {
        "architecture": architecture,
        "options": options,
        "task": registry.task_of(architecture),
        "image_size": size,
    }


@pytest.mark.parametrize("architecture", [*registry.own_architectures(), "test_vit", "test_resnet"])
def test_a_reloaded_network_gives_identical_logits(architecture, tmp_path):
    classifier = make(**as_task(architecture)).to(memory_format=torch.channels_last)
    save_classifier(classifier, tmp_path / "w.safetensors")
    loaded = load_classifier(tmp_path / "w.safetensors").to(memory_format=torch.channels_last)
    assert loaded.spec == classifier.spec
    assert not loaded.training
    with torch.inference_mode():
        assert torch.equal(loaded(pixels(classifier.spec)), classifier(pixels(classifier.spec)))
    save_classifier(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "w.safetensors").read_bytes()


def test_spec_stands_in_the_metadata(tmp_path):
    save_classifier(make(), tmp_path / "w.safetensors")
    with safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["spec"]) == SPEC


def test_forward_is_scale_then_normalise_then_architecture():
    classifier, stored = make(), pixels(SPEC)
    scaled = stored.numpy().transpose(0, 3, 1, 2).astype(np.float64) / 255
    sample = pixels(SPEC, 20).numpy().reshape(-1, 3) / 255
    normal = (scaled - sample.mean(axis=0)[:, None, None]) / sample.std(axis=0)[:, None, None]
    with torch.inference_mode():
        expected = classifier.architecture(torch.from_numpy(normal).float())
        torch.testing.assert_close(classifier(stored), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(classifier.classify(classifier.to_float(stored)), classifier(stored))


def test_a_constant_channel_does_not_divide_by_zero():
    classifier = make()
    classifier.set_statistics(torch.full((4, 12, 16, 3), 7, dtype=torch.uint8))
    torch.testing.assert_close(classifier.std, torch.full((3,), 1 / 255))


@pytest.mark.parametrize("size", [[6, 8], [24, 32], [12, 20]])
def test_resizing_agrees_with_pillow(size):
    from PIL import Image

    y, x = np.mgrid[:12, :16]
    smooth = np.stack([x * 15, y * 20, x * 7 + y * 8], axis=-1).astype(np.uint8)
    images = make(image_size=size).to_float(torch.from_numpy(smooth[None]))
    expected = np.asarray(Image.fromarray(smooth).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    assert images.shape == (1, 3, *size)
    assert np.abs(images[0].permute(1, 2, 0).numpy() * 255 - expected).max() < 1


def test_both_sides_of_a_pair_are_resized_alike():
    classifier = make(**as_task("siamese"), store_size=[9, 9])
    stored = pixels(classifier.spec)
    images = classifier.to_float(stored)
    assert images.shape == (5, 2, 3, 12, 16)
    single = make(store_size=[9, 9])
    assert torch.equal(images[:, 1], single.to_float(stored[:, 1]))


@pytest.mark.parametrize("change", [{}, {"store_size": [30, 9]}, as_task("siamese"), as_task("small_vit")])
def test_exports_with_a_dynamic_batch(change):
    classifier = make(**change)
    batch = torch.export.Dim("batch")
    program = torch.export.export(classifier, (pixels(classifier.spec, 2),), dynamic_shapes=({0: batch},))
    for n in (1, 5):
        stored = pixels(classifier.spec, n)
        torch.testing.assert_close(program.module()(stored), classifier(stored))


def test_pretrained_weights_are_not_fetched_again(tmp_path, monkeypatch):
    classifier = make(architecture="test_resnet", options={})
    classifier.spec = {**classifier.spec, "options": {"pretrained": True}}
    save_classifier(classifier, tmp_path / "w.safetensors")
    asked = []
    build = registry.build
    monkeypatch.setattr(registry, "build", lambda name, **k: asked.append(k["options"]) or build(name, **k))
    assert load_classifier(tmp_path / "w.safetensors").spec["options"] == {"pretrained": True}
    assert asked == [{}]


@pytest.mark.parametrize("damage", ["missing", "truncated", "no spec"])
def test_unusable_weights_are_said(tmp_path, damage):
    path = tmp_path / "w.safetensors"
    if damage == "truncated":
        save_classifier(make(), path)
        path.write_bytes(path.read_bytes()[:-50])
    elif damage == "no spec":
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(FoldstackError, match=r"w\.safetensors holds no usable weights.*delete it"):
        load_classifier(path)


def test_an_incomplete_spec_is_refused():
    with pytest.raises(ValueError, match="channels"):
        Classifier({key: value for key, value in SPEC.items() if key != "channels"})
