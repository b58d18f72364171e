"""Losses against their formulas."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack.errors import FoldstackError
from foldstack.training.losses import build_loss, class_weights, focal


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
    common = {"label_smoothing": smoothing, "focal_gamma": 0.0, "class_weights": "none"}
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


COUNTS = [60, 30, 9, 1]


def loss_of(**config):
    base = {"loss": "cross_entropy", "label_smoothing": 0.0, "focal_gamma": 2.0, "class_weights": "none"}
    return build_loss(base | config, COUNTS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bce_is_timms(smoothing):
    from timm.loss import BinaryCrossEntropy

    logits, targets = random_batch(1)
    expected = BinaryCrossEntropy(smoothing=smoothing)(logits, targets)
    torch.testing.assert_close(loss_of(loss="bce", label_smoothing=smoothing)(logits, targets), expected)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "bce"])
@pytest.mark.parametrize("weights", ["none", "effective"])
def test_shares_of_one_class_are_that_class(name, weights):
    logits, targets = random_batch(2)
    loss = loss_of(loss=name, class_weights=weights, label_smoothing=0.1)
    torch.testing.assert_close(loss(logits, F.one_hot(targets, 4).float()), loss(logits, targets))


def test_weighted_cross_entropy_is_torchs():
    logits, targets = random_batch(3)
    given = torch.tensor(class_weights([1.0, 2.0, 3.0, 4.0], COUNTS), dtype=torch.float32)
    expected = F.cross_entropy(logits, targets, given, reduction="none").mean()
    torch.testing.assert_close(loss_of(class_weights=[1.0, 2.0, 3.0, 4.0])(logits, targets), expected)


@pytest.mark.parametrize("asked", ["balanced", "effective", [1.0, 2.0, 3.0, 4.0]])
def test_weights_keep_the_mean_loss_at_its_size(asked):
    assert (class_weights(asked, COUNTS) * COUNTS).sum() == pytest.approx(sum(COUNTS))


def test_balanced_weights_give_each_class_the_same_say_and_effective_ones_lean_less():
    balanced, effective = (class_weights(asked, [1000, 10]) for asked in ("balanced", "effective"))
    assert balanced[0] * 1000 == pytest.approx(balanced[1] * 10)
    assert 1 < effective[1] / effective[0] < balanced[1] / balanced[0]
    assert all(class_weights("balanced", [5, 0]) > 0)


def test_a_list_of_another_length_is_refused():
    with pytest.raises(FoldstackError, match="class_weights lists 2 numbers, but the data have 4 classes"):
        loss_of(class_weights=[1.0, 2.0])
