"""Weights to start from: a file, offline, with other channels and classes, for a whole network or for its tower."""

import json

import pytest
import safetensors.torch
import timm
import torch
from fake_nets import classifier
from training_inputs import CLASSES, run_of, train, write_inputs

from foldstack.errors import FoldstackError
from foldstack.models import pretrained, registry
from foldstack.models.initial_weights import load_pretrained
from foldstack.models.network import Classifier, load_classifier, save_classifier
from foldstack.training.train import _network

TOWER = {"tower": "test_resnet", "features": 8}
SMALL = {"features": 8, "layers": [1, 1], "width": 4}


@pytest.fixture(scope="module")
def published():
    return weights("test_resnet")


def weights(name):
    """State of a network of timm with three channels and 1000 classes, in which no parameter is as it was drawn."""
    torch.manual_seed(1)
    state = timm.create_model(name).state_dict()
    return {key: value + 0.1 if value.is_floating_point() else value for key, value in state.items()}


def fetched(folder, architecture, asked):
    folder.mkdir(parents=True, exist_ok=True)
    digest = pretrained.fetch(architecture, str(asked), folder / "w.safetensors", folder / "w.json")
    assert record(folder)["sha256"] == digest
    return folder / "w.safetensors", digest


def record(folder):
    return json.loads((folder / "w.json").read_text())


def network(architecture, options, *, channels=1, size=(32, 32), seed=0):
    torch.manual_seed(seed)
    spec = {"architecture": architecture, "options": options, "image_size": list(size), "store_size": list(size)}
    spec |= {"channels": channels, "task": registry.task_of(architecture), "classes": CLASSES}
    return Classifier(spec)


def state(made):
    return {name: value.clone() for name, value in made.architecture.state_dict().items()}


def changed(before, after):
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_a_checkpoint_and_a_folder_give_the_same_file(tmp_path, published):
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in published.items()}}, tmp_path / "a.pth"
    )
    (tmp_path / "hub").mkdir()
    safetensors.torch.save_file(published, tmp_path / "hub" / "model.safetensors")
    first, digest = fetched(tmp_path / "1", "test_resnet", tmp_path / "a.pth")
    second, same = fetched(tmp_path / "2", "test_resnet", tmp_path / "hub")
    assert digest == same
    assert first.read_bytes() == second.read_bytes()


def test_timms_models_take_all_but_the_head_and_adapt_their_first_layer(tmp_path, published):
    safetensors.torch.save_file(published, tmp_path / "given.safetensors")
    path, _ = fetched(tmp_path / "out", "test_resnet", tmp_path / "given.safetensors")
    made = classifier("resnet", 5, channels=1)
    drawn = state(made)
    load_pretrained(made, path)
    own = made.architecture.state_dict()
    first = next(name for name, value in published.items() if value.ndim == 4)
    torch.testing.assert_close(own[first], published[first].sum(dim=1, keepdim=True))
    for name in set(published) - {first, "fc.weight", "fc.bias"}:
        assert torch.equal(own[name], published[name]), name
    for name in ("fc.weight", "fc.bias"):
        assert torch.equal(own[name], drawn[name]), name


def test_own_models_start_from_a_finished_run_but_for_the_head(tmp_path):
    inputs = write_inputs(tmp_path / "inputs")
    before = train(inputs, tmp_path / "before", epochs=1)
    path, _ = fetched(tmp_path / "out", "small_cnn", before["weights"])
    after = train(inputs, tmp_path / "after", epochs=1, pretrained=path, lr=1e-9, augmentation="none")
    old, new = (load_classifier(run["weights"]).state_dict() for run in (before, after))
    parameters = [name for name, value in old.items() if value.ndim > 1]
    same = [name for name in parameters if torch.allclose(old[name], new[name], atol=1e-6)]
    assert len(same) == len(parameters) - 1


def test_a_run_normalises_by_its_own_images_whatever_its_weights_learned_from(tmp_path):
    def darken(samples, pixels):
        pixels //= 4

    before = train(write_inputs(tmp_path / "light"), tmp_path / "before", epochs=1)
    path, _ = fetched(tmp_path / "out", "small_cnn", before["weights"])
    dark = write_inputs(tmp_path / "dark", change=darken)
    runs = {name: train(dark, tmp_path / name, epochs=1, pretrained=at) for name, at in (("new", None), ("from", path))}
    found = {name: load_classifier(run["weights"]) for name, run in (runs | {"before": before}).items()}
    for name in ("mean", "std"):
        assert torch.equal(getattr(found["from"], name), getattr(found["new"], name))
        assert getattr(found["from"], name) < getattr(found["before"], name) / 2


def test_timms_models_start_from_a_run_of_theirs(tmp_path):
    before = classifier("resnet", 3)
    save_classifier(before, tmp_path / "run.safetensors")
    path, _ = fetched(tmp_path / "out", "test_resnet", tmp_path / "run.safetensors")
    made = classifier("resnet", 5)
    load_pretrained(made, path)
    old, new = before.architecture.state_dict(), made.architecture.state_dict()
    assert {name for name, value in old.items() if not torch.equal(value, new[name])} == {"fc.weight", "fc.bias"}


def test_weights_of_another_network_are_refused(tmp_path, published):
    save_classifier(classifier("cnn", 0), tmp_path / "cnn.safetensors")
    safetensors.torch.save_file(published, tmp_path / "resnet.safetensors")
    for name, other in (("vit", "cnn"), ("resnet", "cnn"), ("cnn", "resnet")):
        path, _ = fetched(tmp_path / name, "x", tmp_path / f"{other}.safetensors")
        with pytest.raises(FoldstackError, match="do not fit"):
            load_pretrained(classifier(name, 0), path)


@pytest.mark.parametrize(
    ("architecture", "at", "options"),
    [
        ("pair_net", "tower.", TOWER),
        ("pair_net", "tower.backbone.", TOWER | {"pyramid": True, "tower": "test_efficientnet"}),
        ("pair_net", "tower.", TOWER | {"tower": "test_vit", "tower_options": {"patch_size": 8}}),
        ("clip", "image.", TOWER),
    ],
    ids=["pair_net", "pair_net with a pyramid", "pair_net with a transformer", "clip"],
)
def test_a_tower_of_timm_starts_from_weights_and_all_else_as_it_was_drawn(tmp_path, architecture, at, options):
    given = weights(options["tower"])
    safetensors.torch.save_file(given, tmp_path / "given.safetensors")
    path, _ = fetched(tmp_path / "out", options["tower"], tmp_path / "given.safetensors")
    made = network(architecture, options)
    drawn = state(made)
    load_pretrained(made, path)
    settings = timm.models.get_pretrained_cfg(options["tower"])
    own = made.architecture.state_dict()
    inside = {name for name in own if name.startswith(at) and not name.startswith(at + settings.classifier)}
    assert changed(drawn, own) == {name for name in inside if not name.endswith("num_batches_tracked")}
    same = [name for name in inside if own[name].shape == given[name.removeprefix(at)].shape]
    assert len(same) >= len(inside) - 2  # all but the first layer, and a transformer's positions
    for name in same:
        assert torch.equal(own[name], given[name.removeprefix(at)]), name


def test_an_own_tower_of_clip_starts_from_a_run_of_that_network(tmp_path):
    before = network("small_cnn", {"width": 4})
    save_classifier(before, tmp_path / "run.safetensors")
    path, _ = fetched(tmp_path / "out", "small_cnn", tmp_path / "run.safetensors")
    made = network("clip", {"tower": "small_cnn", "tower_options": {"width": 4}, "features": 8}, seed=1)
    drawn = state(made)
    load_pretrained(made, path)
    own, last = made.architecture.state_dict(), before.architecture.state_dict()
    heads = {name for name in last if last[name].shape != own[f"image.{name}"].shape or name.endswith("10.bias")}
    assert heads
    for name in set(last) - heads:
        assert torch.equal(own[f"image.{name}"], last[name])
    assert all(name.startswith("image.") for name in changed(drawn, own))


def test_an_own_tower_of_pair_net_starts_from_a_run_with_another_fusion(tmp_path):
    before = network("pair_net", SMALL | {"fusion": "concat"})
    save_classifier(before, tmp_path / "run.safetensors")
    path, _ = fetched(tmp_path / "out", "pair_net", tmp_path / "run.safetensors")
    made = network("pair_net", SMALL | {"fusion": "residual"}, seed=1)
    drawn = state(made)
    load_pretrained(made, path)
    own, last = made.architecture.state_dict(), before.architecture.state_dict()
    tower = {name for name in own if name.startswith("tower.")}
    assert changed(drawn, own) <= tower
    assert all(torch.equal(own[name], last[name]) for name in tower)
    same = network("pair_net", SMALL | {"fusion": "concat"}, seed=1)
    load_pretrained(same, path)
    own = same.architecture.state_dict()
    assert changed(own, last) == {"head.2.weight", "head.2.bias"}


TOWERS_THAT_DO_NOT_FIT = {
    "another network of timm's": ("pair_net", TOWER, "test_vit"),
    "timm's for an own tower": ("pair_net", SMALL, "test_resnet"),
    "timm's for an own tower of clip": ("clip", {"tower": "small_cnn"}, "test_resnet"),
    "an own one of another width": ("pair_net", SMALL, SMALL | {"width": 8}),
    "with other features": ("pair_net", SMALL, SMALL | {"features": 16}),
}


@pytest.mark.parametrize("name", TOWERS_THAT_DO_NOT_FIT)
def test_a_tower_of_another_network_is_refused(tmp_path, name):
    architecture, options, given = TOWERS_THAT_DO_NOT_FIT[name]
    if isinstance(given, str):
        safetensors.torch.save_file(weights(given), tmp_path / "given.safetensors")
    else:
        save_classifier(network("pair_net", given), tmp_path / "given.safetensors")
    path, _ = fetched(tmp_path / "out", "x", tmp_path / "given.safetensors")
    with pytest.raises(
        FoldstackError, match=rf"w\.safetensors do not fit '{architecture}' .*; correct pretrained"
    ) as e:
        load_pretrained(network(architecture, options), path)
    assert len(str(e.value)) < 300


def test_a_run_of_pairs_starts_its_tower_from_weights(tmp_path, published):
    safetensors.torch.save_file(published, tmp_path / "given.safetensors")
    path, _ = fetched(tmp_path / "out", "test_resnet", tmp_path / "given.safetensors")
    inputs = write_inputs(tmp_path / "inputs", task="pairs")
    block = {"architecture": "pair_net", "options": TOWER, "image_size": 32, "epochs": 1, "augmentation": "none"}
    run = load_classifier(train(inputs, tmp_path / "run", pretrained=path, lr=1e-9, **block)["weights"])
    torch.testing.assert_close(run.architecture.tower.layer1[0].conv1.weight, published["layer1.0.conv1.weight"])


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    safetensors.torch.save_file({"mean": torch.zeros(3), "std": torch.ones(3)}, tmp_path / "only.safetensors")
    for name in ("broken.pth", "empty.pth", "only.safetensors"):
        with pytest.raises(FoldstackError, match=name):
            fetched(tmp_path / "out", "x", tmp_path / name)
    assert not (tmp_path / "out" / "w.safetensors").exists()
    with pytest.raises(FoldstackError, match=r"holds no model\.safetensors"):
        pretrained.local_file(str(tmp_path))


def test_weights_that_are_not_finite_are_refused_before_training(tmp_path):
    made = network("small_cnn", {"width": 4}, size=(10, 10))
    next(made.architecture.parameters()).data.fill_(float("nan"))
    save_classifier(made, tmp_path / "run.safetensors")
    path, _ = fetched(tmp_path / "out", "small_cnn", tmp_path / "run.safetensors")
    info = {"image_size": [10, 10], "channels": 1, "task": "images", "classes": CLASSES}
    with pytest.raises(FoldstackError, match="are not finite numbers; correct pretrained"):
        _network(run_of(options={"width": 4}), info, path)


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path, monkeypatch):
    def offline(name, pretrained):
        assert (name, pretrained) == ("resnet18.a1_in1k", True)
        raise OSError("offline mode is enabled\nmore")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        FoldstackError, match=r"'resnet18.a1_in1k' cannot be fetched \(offline mode is enabled\); run once"
    ):
        pretrained.fetch("resnet18", "a1_in1k", tmp_path / "w.safetensors", tmp_path / "w.json")
