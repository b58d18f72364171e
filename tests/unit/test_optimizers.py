"""Optimizers and learning rates against torch's own."""

import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from foldstack.optimizers import build_optimizer, learning_rate, plateaus, set_learning_rate

CONFIG = {
    "optimizer": "adamw",
    "lr": 0.01,
    "weight_decay": 0.1,
    "momentum": 0.9,
    "schedule": "constant",
    "epochs": 6,
    "warmup_epochs": 0,
    "step_epochs": 2,
    "decay": 0.5,
    "plateau_patience": 1,
}


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3))
    return layers.to(memory_format=torch.channels_last)


def take_steps(module, optimizer, n=5):
    for step in range(n):
        torch.manual_seed(step)
        optimizer.zero_grad()
        module(torch.randn(8, 2, 4, 4)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("adamw", lambda groups: torch.optim.AdamW(groups, lr=0.01, foreach=False)),
        ("adam", lambda groups: torch.optim.Adam(groups, lr=0.01, foreach=False)),
        ("sgd", lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, foreach=False)),
    ],
)
def test_steps_are_torchs(name, reference):
    ours, theirs = network(), network()
    take_steps(ours, build_optimizer(ours, CONFIG | {"optimizer": name}))
    matrices = [p for p in theirs.parameters() if p.ndim > 1]
    vectors = [p for p in theirs.parameters() if p.ndim <= 1]
    take_steps(theirs, reference([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]))
    for got, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(next(ours.parameters()), next(network().parameters()))


def test_biases_and_norms_are_not_decayed():
    module = network()
    for name, parameter in module.named_parameters():
        parameter.grad = torch.zeros_like(parameter)
        assert (parameter.ndim == 1) == name.endswith(("bias", "1.weight"))
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    build_optimizer(module, CONFIG).step()
    changed = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"0.weight", "4.weight"}


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_state_goes_through_a_state_dict(name):
    config = CONFIG | {"optimizer": name}
    whole, parts = network(), network()
    take_steps(whole, build_optimizer(whole, config), 2)
    optimizer = build_optimizer(parts, config)
    take_steps(parts, optimizer, 2)
    resumed = build_optimizer(parts, config)
    resumed.load_state_dict(optimizer.state_dict())
    take_steps(parts, resumed, 3)
    straight = network()
    optimizer = build_optimizer(straight, config)
    take_steps(straight, optimizer, 2)
    take_steps(straight, optimizer, 3)
    for got, expected in zip(parts.parameters(), straight.parameters(), strict=True):
        assert torch.equal(got, expected)


def test_frozen_parameters_are_left_alone():
    module = network()
    module[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in build_optimizer(module, CONFIG).param_groups) == 4


def rates(config, steps_per_epoch=4, losses=()):
    return [learning_rate(config, step, steps_per_epoch, losses) for step in range(config["epochs"] * steps_per_epoch)]


def torch_rates(make, n):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=CONFIG["lr"])
    scheduler, found = make(optimizer), []
    for _ in range(n):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ("constant", lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
        ("cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=24)),
        ("step", lambda o: lr_scheduler.StepLR(o, step_size=8, gamma=0.5)),
    ],
)
def test_schedules_are_torchs(schedule, make):
    assert rates(CONFIG | {"schedule": schedule}) == pytest.approx(torch_rates(make, 24), rel=1e-9)


@given(st.sampled_from(["constant", "cosine", "step"]), st.floats(0, 6), st.integers(1, 9))
def test_rates_rise_in_the_warm_up_and_never_after(schedule, warmup, steps_per_epoch):
    config = CONFIG | {"schedule": schedule, "warmup_epochs": warmup}
    found = rates(config, steps_per_epoch)
    first = math.ceil(warmup * steps_per_epoch)
    assert all(0 < rate <= config["lr"] for rate in found)
    assert all(a < b for a, b in itertools.pairwise(found[:first]))
    assert all(a >= b for a, b in itertools.pairwise(found[first:]))


@given(st.lists(st.floats(0.01, 2), max_size=25), st.integers(1, 4))
def test_plateaus_are_torchs(losses, patience):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, threshold=1e-4, eps=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for loss in losses:
            scheduler.step(loss)
    expected = optimizer.param_groups[0]["lr"]
    assert 0.5 ** plateaus(losses, patience) == expected
    config = CONFIG | {"schedule": "plateau", "plateau_patience": patience}
    assert learning_rate(config, 99, 4, losses) == pytest.approx(CONFIG["lr"] * expected)


def test_set_learning_rate_reaches_all_groups():
    optimizer = build_optimizer(network(), CONFIG)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
