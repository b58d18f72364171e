"""foldstack.export.dual: both halves of a model that learned from texts, as files that agree with torch."""

import numpy as np
import pytest
import torch
import transformers
from text_inputs import clip_block
from training_inputs import CLASSES

from foldstack.errors import FoldstackError
from foldstack.export import dual
from foldstack.export.session import session_of
from foldstack.models import network


@pytest.fixture
def paths(tmp_path, fetched_encoder):
    """Weights of two random networks."""
    block, _ = clip_block(fetched_encoder, tmp_path / "text")
    spec = {"architecture": "clip", "options": block["options"], "image_size": [10, 10], "store_size": [10, 10],
            "channels": 1, "task": "images", "classes": CLASSES}  # fmt: skip
    paths = [tmp_path / "0.safetensors", tmp_path / "1.safetensors"]
    for seed, path in enumerate(paths):
        torch.manual_seed(seed)
        network.save_classifier(network.Classifier(spec), path)
    return paths


def test_the_two_halves_give_the_mean_cosine_of_the_networks(tmp_path, fetched_encoder, paths):
    dual.export_dual(paths, fetched_encoder, tmp_path / "dual", 1e-5)
    image, text = (session_of(str(tmp_path / "dual" / f"{half}.onnx")) for half in ("image", "text"))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 10, 10, 1), dtype=np.uint8)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "dual")
    rows = tokenizer(["a photo of dark", "a light photo"], padding=True, return_tensors="np")
    said = text.run(None, {name: rows[name].astype(np.int64) for name in ("input_ids", "attention_mask")})[0]
    found = image.run(None, {"image": pixels})[0] @ said.T
    with torch.inference_mode():  # the class prompts are these texts
        cosines = [
            (net(torch.from_numpy(pixels)) / net.architecture.scale.exp())
            for net in map(network.load_classifier, paths)
        ]
    np.testing.assert_allclose(found, torch.stack(cosines).mean(dim=0), atol=1e-5)


def test_a_trained_encoder_is_refused(tmp_path, fetched_encoder, paths):
    net = network.load_classifier(paths[0])
    net.spec["options"] = net.spec["options"] | {"encoder": "x@0"}
    network.save_classifier(net, paths[1])
    with pytest.raises(FoldstackError, match=r"was trained with the images and is not stored"):
        dual.export_dual(paths, fetched_encoder, tmp_path / "dual", 1e-5)


def test_features_that_are_not_numbers_are_refused(tmp_path, fetched_encoder, paths):
    net = network.load_classifier(paths[0])
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(torch.nan)
    network.save_classifier(net, paths[1])
    with pytest.raises(
        FoldstackError, match=r"image\.onnx does not agree with torch: its features differ by up to inf"
    ):
        dual.export_dual(paths, fetched_encoder, tmp_path / "dual", 1e-5)
