"""Losses against their formulas."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack.losses import build_loss, focal


def random_batch(seed, n=7, classes=4, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator) * scale
    return logits, torch.randint(0, classes, (n,), generator=generator)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 5), st.floats(0, 0.5))
def test_focal_is_its_formula(seed, gamma, smoothing):
    logits, targets = random_batch(seed)
    p = F.softmax(logits.double(), dim=1)
    soft = F.one_hot(targets, 4) * (1 - smoothing) + smoothing / 4
    entropy = -(soft * p.log()).sum(dim=1)
    expected = ((1 - p.gather(1, targets[:, None])[:, 0]) ** gamma * entropy).mean()
    got = focal(logits, targets, gamma=gamma, label_smoothing=smoothing)
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_without_focus_is_cross_entropy(smoothing):
    logits, targets = random_batch(0)
    common = {"label_smoothing": smoothing, "focal_gamma": 0.0}
    plain = build_loss({"loss": "cross_entropy", **common})(logits, targets)
    torch.testing.assert_close(build_loss({"loss": "focal", **common})(logits, targets), plain)
    torch.testing.assert_close(plain, F.cross_entropy(logits, targets, label_smoothing=smoothing))


def test_focal_weighs_sure_samples_down():
    logits, targets = torch.tensor([[4.0, 0.0], [0.0, 0.5]]), torch.tensor([0, 0])
    share = [focal(logits[i : i + 1], targets[i : i + 1], gamma=2) for i in (0, 1)]
    plain = [F.cross_entropy(logits[i : i + 1], targets[i : i + 1]) for i in (0, 1)]
    assert share[0] / plain[0] < 0.01 < share[1] / plain[1]


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_gradient_is_finite_for_a_certain_sample(gamma):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    focal(logits, torch.tensor([0, 0]), gamma=gamma).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[1].abs().sum() > 0  # the wrong one still learns
