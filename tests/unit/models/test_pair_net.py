"""Pair networks: each tower and each fusion learns, reaches all its parameters, and is exported as it is."""

import fake_nets
import numpy as np
import pytest
import torch

from foldstack.config import resolve
from foldstack.errors import FoldstackError
from foldstack.export.model import export_model
from foldstack.export.session import open_session, run_batches
from foldstack.models import registry
from foldstack.models.network import Classifier, save_classifier
from foldstack.models.pairs import fusion
from foldstack.models.pairs.options import SYMMETRIC
from foldstack.reruns import code_digest

SMALL = {"width": 4, "features": 8}
TOWERS = {
    "plain": {"tower": "cnn"},
    "plain cbam pyramid": {"tower": "cnn", "layers": [1, 2], "attention": "cbam", "pyramid": True},
    "basic": {"layers": [3, 3, 3]},
    "basic se": {"attention": "se"},
    "bottleneck cbam": {"block": "bottleneck", "layers": [1, 2], "attention": "cbam"},
    "pyramid": {"pyramid": True},
    "timm": {"tower": "test_resnet", "features": 8},
    "timm transformer": {"tower": "test_vit", "features": 8, "tower_options": {"patch_size": 8}},
    "timm pyramid": {"tower": "test_efficientnet", "features": 8, "pyramid": True},
    "timm pyramid of maps with channels last": {
        "tower": "swinv2_cr_tiny_ns_224",
        "features": 8,
        "pyramid": True,
        "tower_options": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 1], "window_size": 4},
    },
}
TOWERS = {name: options if "timm" in name else SMALL | options for name, options in TOWERS.items()}
FUSIONS = {name: {**SMALL, "layers": [1, 1], "fusion": name} for name in fusion.FUSIONS}
ORDERED = [name for name in FUSIONS if name not in SYMMETRIC]
NETWORKS = TOWERS | FUSIONS
ANTISYMMETRIC = {f"antisymmetric {name}": {**FUSIONS[name], "antisymmetric": True} for name in ORDERED}
ANTISYMMETRIC["antisymmetric timm"] = {**TOWERS["timm"], "antisymmetric": True}
ANTISYMMETRIC["levels"] = {**SMALL, "layers": [1, 1], "fusion": "levels", "levels": 4}
NETWORKS |= ANTISYMMETRIC

EXPORTED = {  # each kind of tower, each fusion, and both kinds of attention at least once
    "six fusions, se, pyramid": {"layers": [1, 1], "attention": "se", "pyramid": True, "antisymmetric": True},
    "bradley_terry, cbam": {"tower": "cnn", "layers": [1, 1], "attention": "cbam", "fusion": "bradley_terry"},
    "bottleneck": {"block": "bottleneck", "layers": [1, 1], "fusion": "residual", "antisymmetric": True},
    "levels": {"tower": "cnn", "layers": [1, 1], "fusion": "levels", "levels": 2},
}
EXPORTED = {name: SMALL | options for name, options in EXPORTED.items()}
EXPORTED |= {name: TOWERS[name] for name in TOWERS if "timm" in name}
EXPORTED |= {name: FUSIONS[name] for name in ("product", "l2")}  # `cosine` hardly reacts; it is one of the six


def build(options, n_classes=2, size=(16, 13)):
    torch.manual_seed(0)
    size = (32, 32) if options.get("tower", "").startswith("test_") else size
    return registry.build("pair_net", in_channels=1, n_classes=n_classes, image_size=size, options=options), size


def batch(size, n=8):
    """Pairs of noise, one of each with a bright band above on the left (class 0) or on the right (class 1)."""
    pairs = torch.rand(n, 2, 1, *size, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(n) % 2
    for pair, target in zip(pairs, targets.tolist(), strict=True):
        pair[target, :, : size[0] // 2] += 2
    return pairs, targets


@pytest.mark.parametrize("name", NETWORKS)
def test_it_learns_by_all_its_parameters(name):
    network, size = build(NETWORKS[name])
    pairs, targets = batch(size)
    if NETWORKS[name].get("fusion") in SYMMETRIC:  # they see whether two images are alike, not which is which
        pairs[targets == 0, 1] = pairs[targets == 0, 0]
    optimizer = torch.optim.Adam(network.train().parameters(), lr=5e-3 if "timm" in name else 1e-2)
    losses, reached = [], set()
    for _ in range(20):
        logits = network(pairs)
        assert logits.shape == (8, 2)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        reached |= {key for key, p in network.named_parameters() if p.grad is not None and p.grad.any()}
        optimizer.step()
        losses.append(loss.item())
    assert {key for key, _ in network.named_parameters()} - reached == set()
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", FUSIONS)
def test_only_ordered_fusions_know_left_from_right(name):
    network, size = build(FUSIONS[name])
    pairs, _ = batch(size)
    with torch.inference_mode():
        one, other = network.eval()(pairs), network(pairs.flip(1))
    assert torch.allclose(one, other, atol=1e-6) == (name in SYMMETRIC)


@pytest.mark.parametrize("training", [False, True], ids=["in use", "in training"])
@pytest.mark.parametrize("name", [*ANTISYMMETRIC, "bradley_terry"])
def test_exchanged_images_have_the_other_probability(name, training):
    network, size = build(NETWORKS[name] | {"dropout": 0.0})
    pairs, _ = batch(size)
    with torch.no_grad():
        first = network.train(training)(pairs).double().softmax(dim=1)[:, 0]
        exchanged = network(pairs.flip(1)).double().softmax(dim=1)[:, 0]
    assert first.std() > 1e-4
    torch.testing.assert_close(first, 1 - exchanged, rtol=0, atol=1e-6)


def test_bradley_terry_is_the_difference_of_two_strengths():
    network, size = build(FUSIONS["bradley_terry"])
    pairs, _ = batch(size)
    with torch.inference_mode():
        strengths = network.eval().head(network.tower(pairs.flatten(0, 1))).unflatten(0, (-1, 2))[..., 0]
        log_odds = network(pairs).diff(dim=1)[:, 0]
    torch.testing.assert_close(log_odds, strengths[:, 1] - strengths[:, 0], rtol=1e-5, atol=1e-6)


def test_levels_sum_over_all_ways_in_which_the_left_image_is_above():
    network, size = build(ANTISYMMETRIC["levels"])
    torch.nn.init.normal_(network.meetings)
    pairs, _ = batch(size)
    with torch.inference_mode():
        found = network.eval()(pairs).softmax(dim=1)
        levels = network.head(network.tower(pairs.flatten(0, 1))).softmax(dim=1).unflatten(0, (-1, 2))
        often = (network.meetings + network.meetings.T).exp()
    for answer, (left, right) in zip(found, levels, strict=True):
        above = sum(left[i] * right[j] * often[i, j] for i in range(4) for j in range(i))
        below = sum(left[i] * right[j] * often[i, j] for j in range(4) for i in range(j))
        torch.testing.assert_close(answer[0], above / (above + below), rtol=1e-4, atol=1e-6)


def test_the_adaptive_fusion_begins_as_the_mean_of_six():
    adaptive = fusion.Adaptive(8)
    left, right = torch.rand(2, 5, 8).unbind()
    parts = [part(left, right) for part in adaptive.parts]
    assert len(parts) == 6
    torch.testing.assert_close(adaptive(left, right), sum(parts) / 6)


@pytest.mark.parametrize("name", EXPORTED)
def test_the_exported_file_equals_torch(name, tmp_path):
    pixels = torch.from_numpy(fake_nets.random_pixels(40, (2, 12, 12, 1)))
    size = [32, 32] if "timm" in name else [16, 13]
    spec = {"architecture": "pair_net", "options": EXPORTED[name], "image_size": size, "store_size": [12, 12]}
    torch.manual_seed(0)
    spec |= {"channels": 1, "task": "pairs", "classes": ["left", "right"]}
    network = fake_nets.enliven(Classifier(spec), pixels)
    save_classifier(network, tmp_path / "w.safetensors")
    about = fake_nets.metadata("pair", channels=1, task="pairs") | {"classes": spec["classes"]}
    export_model([(0, 0, tmp_path / "w.safetensors")], tmp_path / "model.onnx", about)
    mean, _ = run_batches(open_session(tmp_path / "model.onnx")[0], pixels.numpy())
    with torch.inference_mode():
        expected = network(pixels).softmax(dim=1).numpy()
    assert expected[:, 0].std() > 0.05
    np.testing.assert_allclose(mean, expected, atol=1e-4)  # large heads, since random networks hardly react


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "diference"}, "fusion of 'pair_net' is 'diference'; did you mean 'difference'"),
        ({"tower": "resnet_18"}, "did you mean 'resnet18'"),
        ({"antisymmetric": True}, "for 2 classes, and the data have 3"),
        ({"width": 0}, "width of 'pair_net' is 0; give a whole number above 0"),
    ],
)
def test_options_that_do_not_fit_are_said(options, message):
    with pytest.raises(FoldstackError, match=message):
        build(options, n_classes=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tower": "cnn", "block": "bottleneck"}, "'cnn' has no option 'block'"),
        ({"tower": "resnet18", "width": 8}, "'resnet18' of timm has no option 'width'"),
        (
            {"tower": "resnet18", "tower_options": {"pretrained": True}},
            "pretrained is a key of the model, not of its options",
        ),
        ({"tower_options": {"patch_size": 2}}, "tower_options are for towers of timm"),
        ({"fusion": "levels", "levels": 1}, "levels must be 2 or more"),
        ({"levels": 8}, "levels is for fusion: levels, not 'adaptive'"),
        ({"fusion": "cosine", "antisymmetric": True}, "'cosine' does not know left from right"),
    ],
)
def test_options_that_do_not_go_together_are_said_before_anything_starts(options, message):
    raw = {"experiment": "x", "data": {"format": "digits_pairs"}, "models": {"pair_net": {"options": options}}}
    with pytest.raises(FoldstackError, match=f"models.pair_net.options: .*{message}"):
        resolve.resolve(raw)


def test_a_runs_code_covers_towers_and_fusions():
    code = code_digest.of_script("train_fold.py", (registry.module_name("pair_net"),))
    files = {entry.partition("@")[0] for entry in code.files}
    assert {
        f"foldstack/models/{name}.py"
        for name in ("architectures/pair_net", "pairs/towers", "pairs/fusion", "pairs/levels")
    } <= files
    assert "foldstack/models/pairs/" not in "".join(code_digest.of_script("train_fold.py").files)
