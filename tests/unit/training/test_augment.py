"""Augmentation: what each preset may do, and what it must not."""

import dataclasses

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstack.config.schema import load_schema
from foldstack.training import augment as module
from foldstack.training.augment import PRESETS, Preset, augment, mix, recipe, swap_sides

RANGES = {
    **PRESETS,
    "all": recipe("strong", {"crop": 0.3, "blur": 0.5, "noise": 0.1, "hue": 0.2, "policy": "randaugment"}),
    "trivial": recipe("none", {"policy": "trivialaugment"}),
}


def images(n=16, channels=3, size=(12, 18), seed=0):
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed))


def with_ranges(batch, **ranges):
    torch.manual_seed(3)
    return augment(batch, Preset(**ranges))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(RANGES)), st.sampled_from([1, 3]), st.booleans(), st.integers(0, 99))
def test_shape_range_and_input_are_kept(preset, channels, pairs, seed):
    batch = images(6, channels, seed=seed)
    batch = batch.unflatten(0, (3, 2)) if pairs else batch
    before = batch.clone()
    torch.manual_seed(seed)
    changed = augment(batch, RANGES[preset])
    assert changed.shape == batch.shape
    assert changed.dtype == batch.dtype
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(batch, before)
    torch.manual_seed(seed)
    assert torch.equal(augment(batch, RANGES[preset]), changed)  # the seed decides


def test_none_does_nothing():
    assert torch.equal(augment(images(), PRESETS["none"]), images())


def test_no_ranges_no_change():
    torch.testing.assert_close(with_ranges(images()), images(), rtol=0, atol=1e-5)


def test_each_image_changes_on_its_own():
    torch.manual_seed(0)
    changed = augment(images(1).expand(8, -1, -1, -1), PRESETS["standard"])
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 8


def test_sides_of_a_pair_change_on_their_own():
    torch.manual_seed(0)
    changed = augment(images(1).expand(2, -1, -1, -1)[None], PRESETS["standard"])
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
    columns = augment(batch, RANGES[preset]).sum(dim=(1, 2))
    middle = (columns * torch.arange(16)).sum(dim=1) / columns.sum(dim=1)
    assert middle.max() < 7.5


@pytest.mark.parametrize("preset", ["standard", "medical"])
def test_hues_stay_where_colours_matter(preset):
    grey = images(channels=1).expand(-1, 3, -1, -1)
    torch.manual_seed(0)
    changed = augment(grey, PRESETS[preset])
    torch.testing.assert_close(changed[:, 0], changed[:, 1])


def test_a_turn_of_the_colours_leaves_greys_and_brightness_and_moves_red_to_green(monkeypatch):
    grey = images(channels=1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(with_ranges(grey, hue=0.5), grey, rtol=0, atol=1e-5)
    dull = 0.4 + 0.2 * images(channels=3)  # nothing is cut off at 0 or 1
    turned = with_ranges(dull, hue=0.5)
    assert (turned - dull).abs().max() > 0.05
    torch.testing.assert_close(turned.mean(dim=1), dull.mean(dim=1), rtol=0, atol=1e-5)
    monkeypatch.setattr(module, "_uniform", lambda batch, low, high: torch.full((len(batch),), 1 / 3))
    red = torch.tensor([1.0, 0, 0])[None, :, None, None].expand(2, -1, 4, 4)
    torch.testing.assert_close(augment(red, Preset(hue=0.5)), red.roll(1, dims=1), rtol=0, atol=1e-6)


def test_one_channel_has_no_colours_to_turn():
    torch.testing.assert_close(with_ranges(images(channels=1), hue=0.5), images(channels=1), rtol=0, atol=0)


def test_the_schema_has_the_keys_of_a_preset():
    known = load_schema()["$defs"]["training"]["properties"]["augment"]["properties"]
    assert set(known) == {field.name for field in dataclasses.fields(Preset)}


def test_a_flip_is_a_mirror_image():
    flipped = with_ranges(images(), flip=1.0)
    torch.testing.assert_close(flipped, images().flip(-1), rtol=0, atol=1e-5)
    half = with_ranges(images(400), flip=0.5)
    kept = (half - images(400)).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert 150 < int(kept.sum()) < 250


@pytest.mark.parametrize("angle", [-30.0, 20.0])
def test_turns_keep_their_shape_in_oblong_images(monkeypatch, angle):
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    blob = torch.exp(-((y - 7) ** 2 + (x - 18) ** 2) / 8)[None, None]
    monkeypatch.setattr(module, "_uniform", lambda batch, low, high: torch.full((len(batch),), _value(low, high)))

    def _value(low, high):
        return angle if high == 30 else (low + high) / 2

    turned = augment(blob, Preset(rotate=30))
    expected = reference.rotate(blob, angle=angle, interpolation=reference.InterpolationMode.BILINEAR)
    assert (turned - expected).abs().max() < 0.05
    assert (turned - blob).abs().max() > 0.2


def test_shifts_and_scales_stay_in_their_ranges():
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    blob = torch.exp(-((y - 19.5) ** 2 + (x - 19.5) ** 2) / 18)[None, None].expand(200, -1, -1, -1)
    moved = with_ranges(blob, shift=0.1)[:, 0]
    centre = (moved.sum(dim=1) * torch.arange(40)).sum(dim=1) / moved.sum(dim=(1, 2)) - 19.5
    assert 3.2 < centre.abs().max() < 4.05
    assert centre.min() < -3
    assert centre.max() > 3
    areas = with_ranges(blob, scale=0.2).sum(dim=(1, 2, 3)) / blob[0].sum()
    assert 0.63 < areas.min() < 0.7
    assert 1.35 < areas.max() < 1.45


def test_brightness_and_contrast():
    batch = images(200) * 0.4 + 0.3
    bright = with_ranges(batch, brightness=0.2)
    factors = bright.mean(dim=(1, 2, 3)) / batch.mean(dim=(1, 2, 3))
    assert 0.8 <= factors.min() < 0.83
    assert 1.17 < factors.max() <= 1.2001
    contrast = with_ranges(batch, contrast=0.2)
    torch.testing.assert_close(contrast.mean(dim=(1, 2, 3)), batch.mean(dim=(1, 2, 3)))
    spread = contrast.std(dim=(1, 2, 3)) / batch.std(dim=(1, 2, 3))
    assert 0.8 <= spread.min() < 0.83
    assert 1.17 < spread.max() <= 1.2001


def test_erasing_takes_one_rectangle_of_limited_size():
    batch = images(300, size=(40, 40))
    gone = (with_ranges(batch, erase=1.0) - batch).abs().amax(dim=1) > 1e-3
    areas = gone.float().mean(dim=(1, 2))
    assert areas.max() < 0.22
    assert (areas > 0).float().mean() > 0.95
    for mask in gone[:20]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert int(mask.sum()) >= 0.98 * int(rows.sum()) * int(columns.sum())  # full, hence a rectangle
    some = (with_ranges(batch, erase=0.25) - batch).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert 45 < int(some.sum()) < 110


def test_a_recipe_changes_a_preset_and_leaves_it_as_it_was():
    assert recipe("none", {}) is None
    assert recipe("standard", {}) is PRESETS["standard"]
    changed = recipe("standard", {"flip": 0.5})
    assert (changed.flip, changed.rotate) == (0.5, PRESETS["standard"].rotate)
    assert PRESETS["standard"].flip == 0


def test_a_crop_is_torchvisions(monkeypatch):
    monkeypatch.setattr(module, "_uniform", lambda batch, low, high: torch.full((len(batch),), (low + high) / 2))
    batch = images(3, size=(24, 24))
    cropped = augment(batch, Preset(crop=0.125))  # its middle draw is a square of 0.5625 of the area: 18 of 24 pixels
    expected = reference.resized_crop(batch, 3, 3, 18, 18, [24, 24], antialias=False)
    inner = (..., slice(1, -1), slice(1, -1))  # at the rim torchvision does not look beyond the crop
    torch.testing.assert_close(cropped[inner], expected[inner], atol=1e-4, rtol=0)


def test_crops_keep_their_share_of_the_area_and_stay_inside():
    ramp = torch.linspace(0, 1, 64).expand(300, 1, 64, 64)
    cropped = with_ranges(ramp, crop=0.25)
    width = (cropped[:, 0, 0, -1] - cropped[:, 0, 0, 0]) * 64 / 63
    assert 0.42 < width.min() < 0.52  # the square root of 0.25 * 3/4, and more
    assert width.max() > 0.95
    assert cropped[:, 0, 0, 0].max() > 0.3  # not in the middle alone


def test_blur_is_torchvisions_on_some_images(monkeypatch):
    monkeypatch.setattr(module, "BLUR_SIGMA", (1.0, 1.0))
    batch = images(200, size=(16, 16))
    changed = with_ranges(batch, blur=0.5)
    blurred = (changed == reference.gaussian_blur(batch, [3, 3], [1.0, 1.0])).flatten(1).all(dim=1)
    assert 70 < int(blurred.sum()) < 130
    assert torch.equal(changed[~blurred], batch[~blurred])


def test_noise_reaches_its_largest_spread():
    noisy = with_ranges(torch.full((200, 1, 16, 16), 0.5), noise=0.1)
    spread = noisy.std(dim=(1, 2, 3))
    assert spread.min() < 0.01
    assert 0.09 < spread.max() < 0.12


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_policies_draw_for_parts_of_a_batch(policy):
    batch = images(1, size=(32, 32)).expand(64, -1, -1, -1)
    changed = with_ranges(batch, policy=policy).flatten(1)
    kinds = len(torch.unique(changed, dim=0))
    assert 6 < kinds <= 16


@pytest.mark.parametrize("views", [(), (2,)])
def test_mixed_images_have_the_classes_of_both_in_their_shares(views):
    batch = torch.rand(8, *views, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(8) % 3
    for seed in range(6):
        torch.manual_seed(seed)
        mixed, shares = mix(batch, targets, Preset(mixup=1.0), 3)
        share = torch.stack([shares[i, targets[i]] for i in range(8)])[0]
        torch.testing.assert_close(mixed, share * batch + (1 - share) * batch.roll(1, 0))
        torch.manual_seed(seed)
        cut, shares = mix(batch, targets, Preset(cutmix=1.0), 3)
        own = (cut == batch).flatten(1).float().mean(dim=1)  # the same box in both images of a pair
        torch.testing.assert_close(own, torch.stack([shares[i, targets[i]] for i in range(8)]), atol=1e-4, rtol=0)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(8))


def test_nothing_is_mixed_unless_asked():
    batch, targets = images(4), torch.arange(4)
    for ranges in (None, PRESETS["strong"]):
        assert mix(batch, targets, ranges, 4) == (batch, targets)
    torch.manual_seed(0)
    both = [mix(batch, targets, recipe("none", {"mixup": 0.4, "cutmix": 1.0}), 4)[0] for _ in range(12)]
    kept = [bool((mixed == batch).any()) for mixed in both]
    assert True in kept
    assert False in kept
