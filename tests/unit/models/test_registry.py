"""Every architecture: shapes, gradients, learning; and the registry that finds them without importing them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from foldstack.errors import FoldstackError
from foldstack.models import registry
from foldstack.models.flops import count_flops

TINY_TIMM = ("test_resnet", "test_vit", "test_efficientnet", "test_convnext")
ARCHITECTURES = (*registry.own_architectures(), *TINY_TIMM)


def size_for(architecture):
    return (64, 48) if architecture in TINY_TIMM else (24, 19)


def build(architecture, **changes):
    torch.manual_seed(0)
    shape = {"in_channels": 1, "n_classes": 3, "image_size": size_for(architecture), "options": {}}
    return registry.build(architecture, **shape | changes)


def batch(architecture, n=6, channels=1):
    pair = (2,) if registry.task_of(architecture) == "pairs" else ()
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, *pair, channels, *size_for(architecture), generator=generator)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_have_their_shape(architecture, channels):
    network = build(architecture, in_channels=channels).eval()
    images = batch(architecture, channels=channels)
    with torch.inference_mode():
        logits = network(images)
        alone = network(images[2:3])
    assert logits.shape == (6, 3)
    assert logits.isfinite().all()
    torch.testing.assert_close(alone, logits[2:3], rtol=1e-4, atol=1e-4)  # samples do not influence each other


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_reach_all_parameters_and_the_loss_falls(architecture):
    network = build(architecture).train()
    images, targets = batch(architecture), torch.tensor([0, 1, 2, 0, 1, 2])
    height = images.shape[-2]
    for image, target in zip(images, targets.tolist(), strict=True):
        image[..., target * height // 3 : (target + 1) * height // 3, :] += 2  # each class has its bright band
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses, reached = [], set()
    for _ in range(25):
        loss = torch.nn.functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        # Some networks start with blocks switched off (zero weights), so that not all is reached in the first step.
        reached |= {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
        optimizer.step()
        losses.append(loss.item())
    assert {name for name, p in network.named_parameters() if p.requires_grad} - reached == set()
    assert losses[-1] < 0.8 * losses[0]


def test_siamese_shares_its_tower_and_knows_left_from_right():
    network = build("siamese").eval()
    pairs = batch("siamese")
    towers = [module for name, module in network.named_children() if name == "tower"]
    assert len(towers) == 1
    with torch.inference_mode():
        assert not torch.allclose(network(pairs), network(pairs.flip(1)))
        same = network.tower(pairs[:, 0])
        torch.testing.assert_close(same, network.tower(pairs.flip(1)[:, 1]))


def test_known_architectures_are_timms_own_list():
    import timm

    assert set(timm.list_models()) <= set(registry.timm_architectures())
    buildable = {name for name in registry.timm_architectures() if timm.is_model(name)}
    assert buildable == set(registry.timm_architectures())
    known = registry.known_architectures()
    assert known[: len(registry.own_architectures())] == list(registry.own_architectures())
    assert len(known) == len(set(known))


def test_registry_imports_neither_torch_nor_timm():
    code = (
        "import sys; from foldstack.models import registry; registry.known_architectures();"
        "print(registry.task_of('siamese'), registry.task_of('resnet18'), {'torch', 'timm'} & set(sys.modules))"
    )
    root = Path(registry.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pairs", "images", "set()"]


@pytest.mark.parametrize("architecture", registry.own_architectures())
def test_file_defines_what_the_registry_promises(architecture):
    assert registry.module_path(architecture).stem == architecture
    assert registry.module_name(architecture) == f"foldstack.models.architectures.{architecture}"
    build(architecture)
    assert registry.task_of(architecture) == sys.modules[registry.module_name(architecture)].TASK


def test_any_other_name_is_timms():
    assert registry.module_name("resnet18") == "foldstack.models.timm_model"
    assert registry.task_of("resnet18") == "images"


def test_an_image_size_that_timm_cannot_take_is_said_at_once():
    with pytest.raises(FoldstackError, match="timm cannot build 'test_convnext' for images of 12x12"):
        build("test_convnext", image_size=(12, 12))


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("small_cnn", {"widht": 3}, "no option 'widht'; it has dropout, stages, width"),
        ("no_such_net", {}, "no architecture 'no_such_net'"),
        ("test_resnet", {"no_such_option": 1}, "timm cannot build 'test_resnet'.*no_such_option"),
    ],
)
def test_a_bad_name_or_option_is_said(architecture, options, message):
    with pytest.raises(FoldstackError, match=message):
        build(architecture, options=options)


def test_flops_of_a_known_network():
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 5)).train()
    convolution, linear = 2 * (4 * 4) * 3 * (2 * 3 * 3), 2 * (3 * 4 * 4) * 5
    assert count_flops(network, torch.zeros(1, 2, 6, 6)) == convolution + linear
    assert network.training


def test_flops_include_attention():
    deep, shallow = (count_flops(build("small_vit", options={"depth": d}), batch("small_vit", 1)) for d in (2, 1))
    tokens, width = 6 * 5, 64  # 24 x 19 pixels, 4 x 4 a token
    matrices, attention = 2 * tokens * width * (3 + 1 + 2 + 2) * width, 2 * 2 * tokens * tokens * width
    assert deep - shallow == matrices + attention
