"""Augmentation: what each preset may do, and what it must not."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack import augment as module
from foldstack.augment import PRESETS, Preset, augment, swap_sides

STILL = {"shift": 0.0, "scale": 0.0, "rotate": 0.0}


def images(n=16, channels=3, size=(12, 18), seed=0):
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed))


def with_preset(monkeypatch, batch, **ranges):
    monkeypatch.setitem(PRESETS, "probe", Preset(**(STILL | ranges)))
    torch.manual_seed(3)
    return augment(batch, "probe")


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(PRESETS)), st.sampled_from([1, 3]), st.booleans(), st.integers(0, 99))
def test_shape_range_and_input_are_kept(preset, channels, pairs, seed):
    batch = images(6, channels, seed=seed)
    batch = batch.unflatten(0, (3, 2)) if pairs else batch
    before = batch.clone()
    torch.manual_seed(seed)
    changed = augment(batch, preset)
    assert changed.shape == batch.shape
    assert changed.dtype == batch.dtype
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(batch, before)
    torch.manual_seed(seed)
    assert torch.equal(augment(batch, preset), changed)  # the seed decides


def test_none_does_nothing():
    assert torch.equal(augment(images(), "none"), images())


def test_no_ranges_no_change(monkeypatch):
    torch.testing.assert_close(with_preset(monkeypatch, images()), images(), rtol=0, atol=1e-5)


def test_each_image_changes_on_its_own():
    torch.manual_seed(0)
    changed = augment(images(1).expand(8, -1, -1, -1), "standard")
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 8


def test_sides_of_a_pair_change_on_their_own():
    torch.manual_seed(0)
    changed = augment(images(1).expand(2, -1, -1, -1)[None], "standard")
    assert not torch.allclose(changed[0, 0], changed[0, 1])


def test_swapped_sides_take_their_class_with_them():
    pairs, targets = images(600).unflatten(0, (300, 2)), torch.arange(300) % 2
    before = pairs.clone()
    torch.manual_seed(0)
    swapped, classes = swap_sides(pairs, targets)
    moved = (swapped != pairs).flatten(1).any(dim=1)
    assert 110 < int(moved.sum()) < 190
    assert torch.equal(swapped[moved], pairs[moved].flip(1))
    assert torch.equal(classes, torch.where(moved, 1 - targets, targets))
    assert torch.equal(pairs, before)
    torch.manual_seed(0)
    assert torch.equal(swap_sides(pairs, targets)[1], classes)  # the seed decides


@pytest.mark.parametrize("preset", ["standard", "medical"])
def test_what_could_change_the_meaning_is_left_out(preset):
    ranges = PRESETS[preset]
    assert ranges.flip == ranges.erase == ranges.saturation == 0
    # A mark at the left stays at the left, over many draws.
    batch = torch.zeros(300, 1, 16, 16)
    batch[:, :, 6:10, 1:5] = 1
    torch.manual_seed(0)
    columns = augment(batch, preset).sum(dim=(1, 2))
    middle = (columns * torch.arange(16)).sum(dim=1) / columns.sum(dim=1)
    assert middle.max() < 7.5


@pytest.mark.parametrize("preset", ["standard", "medical"])
def test_hues_stay_where_colours_matter(preset):
    grey = images(channels=1).expand(-1, 3, -1, -1)
    torch.manual_seed(0)
    changed = augment(grey, preset)
    torch.testing.assert_close(changed[:, 0], changed[:, 1])


def test_a_flip_is_a_mirror_image(monkeypatch):
    flipped = with_preset(monkeypatch, images(), flip=1.0)
    torch.testing.assert_close(flipped, images().flip(-1), rtol=0, atol=1e-5)
    half = with_preset(monkeypatch, images(400), flip=0.5)
    kept = (half - images(400)).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert 150 < int(kept.sum()) < 250


@pytest.mark.parametrize("angle", [-30.0, 20.0])
def test_turns_keep_their_shape_in_oblong_images(monkeypatch, angle):
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    blob = torch.exp(-((y - 7) ** 2 + (x - 18) ** 2) / 8)[None, None]
    monkeypatch.setattr(module, "_uniform", lambda batch, low, high: torch.full((len(batch),), _value(low, high)))

    def _value(low, high):
        return angle if high == 30 else (low + high) / 2

    monkeypatch.setitem(PRESETS, "probe", Preset(shift=0, scale=0, rotate=30))
    turned = augment(blob, "probe")
    expected = reference.rotate(blob, angle=angle, interpolation=reference.InterpolationMode.BILINEAR)
    assert (turned - expected).abs().max() < 0.05
    assert (turned - blob).abs().max() > 0.2


def test_shifts_and_scales_stay_in_their_ranges(monkeypatch):
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    blob = torch.exp(-((y - 19.5) ** 2 + (x - 19.5) ** 2) / 18)[None, None].expand(200, -1, -1, -1)
    moved = with_preset(monkeypatch, blob, shift=0.1)[:, 0]
    centre = (moved.sum(dim=1) * torch.arange(40)).sum(dim=1) / moved.sum(dim=(1, 2)) - 19.5
    assert 3.2 < centre.abs().max() < 4.05
    assert centre.min() < -3
    assert centre.max() > 3
    areas = with_preset(monkeypatch, blob, scale=0.2).sum(dim=(1, 2, 3)) / blob[0].sum()
    assert 0.63 < areas.min() < 0.7
    assert 1.35 < areas.max() < 1.45


def test_brightness_and_contrast(monkeypatch):
    batch = images(200) * 0.4 + 0.3
    bright = with_preset(monkeypatch, batch, brightness=0.2)
    factors = bright.mean(dim=(1, 2, 3)) / batch.mean(dim=(1, 2, 3))
    assert 0.8 <= factors.min() < 0.83
    assert 1.17 < factors.max() <= 1.2001
    contrast = with_preset(monkeypatch, batch, contrast=0.2)
    torch.testing.assert_close(contrast.mean(dim=(1, 2, 3)), batch.mean(dim=(1, 2, 3)))
    spread = contrast.std(dim=(1, 2, 3)) / batch.std(dim=(1, 2, 3))
    assert 0.8 <= spread.min() < 0.83
    assert 1.17 < spread.max() <= 1.2001


def test_erasing_takes_one_rectangle_of_limited_size(monkeypatch):
    batch = images(300, size=(40, 40))
    gone = (with_preset(monkeypatch, batch, erase=1.0) - batch).abs().amax(dim=1) > 1e-3
    areas = gone.float().mean(dim=(1, 2))
    assert areas.max() < 0.22
    assert (areas > 0).float().mean() > 0.95
    for mask in gone[:20]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert int(mask.sum()) >= 0.98 * int(rows.sum()) * int(columns.sum())  # full, hence a rectangle
    some = (with_preset(monkeypatch, batch, erase=0.25) - batch).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert 45 < int(some.sum()) < 110
