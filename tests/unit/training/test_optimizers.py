"""Optimizers and learning rates against torch's own."""

import io
import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from foldstack.config import training_checks
from foldstack.errors import FoldstackError
from foldstack.training.optimizers import build_optimizer, set_learning_rate
from foldstack.training.schedules import learning_rate, plateaus

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
    "layer_decay": None,
    "min_lr": 0.0,
    "milestones": [2, 4],
}
MAY_STAND_STILL: set[str] = set()


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


@pytest.fixture(scope="module")
def of_timm():
    import timm

    torch.manual_seed(0)
    return timm.create_model("resnet10t", num_classes=2, in_chans=1)


@pytest.mark.parametrize("name", sorted(set(training_checks.optimizers()) - {"adam", "adamw", "sgd"}))
def test_every_optimizer_on_offer_moves_the_weights_and_goes_on_from_its_state(name):
    config = CONFIG | {"optimizer": name}
    whole, parts = network(), network()
    take_steps(whole, build_optimizer(whole, config), 3)
    optimizer = build_optimizer(parts, config)
    take_steps(parts, optimizer, 2)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    resumed = build_optimizer(parts, config)
    resumed.load_state_dict(torch.load(io.BytesIO(saved.getvalue()), weights_only=True))
    torch.manual_seed(2)
    resumed.zero_grad()
    parts(torch.randn(8, 2, 4, 4)).square().mean().backward()
    resumed.step()
    start = network()
    for got, expected, before in zip(parts.parameters(), whole.parameters(), start.parameters(), strict=True):
        assert torch.equal(got, expected)
        assert got.isfinite().all()
        assert not torch.equal(got, before) or name in MAY_STAND_STILL


def test_layers_learn_slower_the_deeper_they_lie(of_timm):
    optimizer = build_optimizer(of_timm, CONFIG | {"layer_decay": 0.5})
    set_learning_rate(optimizer, 1.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    named = dict(of_timm.named_parameters())
    assert len(rates) == len(named)
    assert rates[id(named["fc.weight"])] == 1.0 > rates[id(named["layer4.0.conv1.weight"])]
    assert rates[id(named["conv1.0.weight"])] == min(rates.values()) < 0.1


def test_layer_decay_without_layers_is_refused():
    with pytest.raises(FoldstackError, match="layer_decay needs a model of timm"):
        build_optimizer(network(), CONFIG | {"layer_decay": 0.5})


@pytest.mark.parametrize("schedule", ["tanh", "poly", "multistep", "wsd", "rsqrt"])
def test_schedules_of_timm_start_at_lr_behind_the_warm_up_and_end_low(schedule):
    config = CONFIG | {"schedule": schedule, "warmup_epochs": 1, "min_lr": 0.001}
    found = rates(config)
    assert all(a < b for a, b in itertools.pairwise(found[:5]))
    assert found[4] == pytest.approx(CONFIG["lr"], rel=0.02)
    assert found[-1] < CONFIG["lr"] / 2
    assert min(found[4:]) >= 0.001 - 1e-9
    assert rates(config) == found  # a pure function of the step, whatever was asked before
    assert learning_rate(config, 9, 4) == found[9]


def test_multistep_decays_behind_its_milestones():
    found = rates(CONFIG | {"schedule": "multistep", "warmup_epochs": 0.5})
    assert [found[i] for i in (7, 8, 15, 16)] == pytest.approx([0.01, 0.005, 0.005, 0.0025])


def test_cosine_ends_at_min_lr():
    found = rates(CONFIG | {"schedule": "cosine", "min_lr": 0.002}, 100)
    assert found[0] == pytest.approx(0.01)
    assert found[-1] == pytest.approx(0.002, rel=1e-3)
