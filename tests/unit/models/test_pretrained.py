"""Weights to start from: from a file, offline, with another number of channels and classes."""

import json

import pytest
import safetensors.torch
import timm
import torch
from fake_nets import classifier
from training_inputs import train, write_inputs

from foldstack.errors import FoldstackError
from foldstack.models import pretrained
from foldstack.models.initial_weights import load_pretrained
from foldstack.models.network import load_classifier, save_classifier


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(1)
    return timm.create_model("test_resnet").state_dict()  # three channels, 1000 classes


def fetched(folder, architecture, asked):
    folder.mkdir(parents=True, exist_ok=True)
    digest = pretrained.fetch(architecture, str(asked), folder / "w.safetensors", folder / "w.json")
    assert json.loads((folder / "w.json").read_text())["sha256"] == digest
    return folder / "w.safetensors", digest


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
    network = classifier("resnet", 5, channels=1)
    load_pretrained(network, path)
    own = network.architecture.state_dict()
    first = next(name for name, value in published.items() if value.ndim == 4)
    torch.testing.assert_close(own[first], published[first].sum(dim=1, keepdim=True))
    for name in set(published) - {first, "fc.weight", "fc.bias"}:
        assert torch.equal(own[name], published[name]), name
    assert own["fc.weight"].shape[0] == 3


def test_own_models_start_from_a_finished_run_but_for_the_head(tmp_path):
    inputs = write_inputs(tmp_path / "inputs")
    before = train(inputs, tmp_path / "before", epochs=1)
    path, _ = fetched(tmp_path / "out", "small_cnn", before["weights"])
    after = train(inputs, tmp_path / "after", epochs=1, pretrained=path, lr=1e-9, augmentation="none")
    old, new = (load_classifier(run["weights"]).state_dict() for run in (before, after))
    weights = [name for name, value in old.items() if value.ndim > 1]
    same = [name for name in weights if torch.allclose(old[name], new[name], atol=1e-6)]
    assert len(same) == len(weights) - 1


def test_weights_of_another_network_are_refused(tmp_path, published):
    save_classifier(classifier("cnn", 0), tmp_path / "cnn.safetensors")
    safetensors.torch.save_file(published, tmp_path / "resnet.safetensors")
    for name, other in (("vit", "cnn"), ("resnet", "cnn"), ("cnn", "resnet")):
        path, _ = fetched(tmp_path / name, "x", tmp_path / f"{other}.safetensors")
        with pytest.raises(FoldstackError, match="do not fit"):
            load_pretrained(classifier(name, 0), path)


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    for name in ("broken.pth", "empty.pth"):
        with pytest.raises(FoldstackError, match=name):
            fetched(tmp_path / "out", "x", tmp_path / name)
    assert not (tmp_path / "out" / "w.safetensors").exists()
    with pytest.raises(FoldstackError, match=r"holds no model\.safetensors"):
        pretrained.local_file(str(tmp_path))


def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path, monkeypatch):
    def offline(name, pretrained):
        assert (name, pretrained) == ("resnet18.a1_in1k", True)
        raise OSError("offline mode is enabled\nmore")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        FoldstackError, match=r"'resnet18.a1_in1k' cannot be fetched \(offline mode is enabled\); run once"
    ):
        pretrained.fetch("resnet18", "a1_in1k", tmp_path / "w.safetensors", tmp_path / "w.json")
