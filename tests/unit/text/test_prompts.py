"""Class prompts, and the network that is trained towards them."""

import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fake_runs import run_script
from text_inputs import KINDS, clip_block
from training_inputs import CONFIG, read_bytes, train, write_inputs

import embed_prompts
from foldstack.config import resolve
from foldstack.errors import FoldstackError
from foldstack.export.model import export_model
from foldstack.export.session import open_session
from foldstack.files import write_json
from foldstack.models import network, registry
from foldstack.models.initial_weights import load_pretrained
from foldstack.text import prompts, reference
from foldstack.training import checkpoint, loop, losses
from foldstack.training.optimizers import build_optimizer


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def test_prompts_are_each_template_with_each_name():
    found = prompts.prompts(["fire_truck", "cat"], ["a {}.", "the {}"], {"cat": ["cat", "kitten"]})
    assert found == {
        "fire_truck": ["a fire truck.", "the fire truck"],
        "cat": ["a cat.", "the cat", "a kitten.", "the kitten"],
    }
    with pytest.raises(FoldstackError, match=r"text.names has the class 'dog'"):
        prompts.prompts(["cat"], ["{}"], {"dog": "hound"})


def test_a_class_has_the_mean_direction_of_its_prompts():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    found = prompts.class_vectors({"a": ["x", "y"], "b": ["z"]}, vectors)
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5], [0.6, 0.8]], rtol=1e-6)


def embedded(tmp_path, encoder, **text):
    """Run embed_prompts for the classes `dark` and `light`."""
    write_json(tmp_path / "dataset.json", {"classes": ["dark", "light"]})
    config = {"templates": ["a photo of {}"], "names": {}, "train": "frozen"} | text
    outputs = {"prompts": tmp_path / "prompts.safetensors"}
    inputs = {"dataset": tmp_path / "dataset.json", "encoder": encoder}
    run_script(embed_prompts.main, tmp_path, "embed_prompts", inputs, outputs, config=config)


ALIKE = {
    "words that it does not know": {"names": {"dark": "dunkel", "light": "hell"}},
    "a template longer than it reads": {"templates": [f"{'a ' * 20}photo of {{}}"]},
    "one name for both": {"names": {"dark": "light"}, "templates": ["{}", "a {}"]},
}


@pytest.mark.parametrize("kind", ALIKE)
def test_classes_that_the_encoder_reads_alike_are_refused(tmp_path, fetched_encoder, capsys, kind):
    with pytest.raises(SystemExit):
        embedded(tmp_path, fetched_encoder, **ALIKE[kind])
    assert "gives the prompts of the classes 'dark' and 'light' the same vector, such as" in capsys.readouterr().err
    assert not (tmp_path / "prompts.safetensors").exists()


def test_a_prompt_with_unknown_words_is_named(tmp_path, fetched_encoder, capsys):
    embedded(tmp_path, fetched_encoder)
    assert "CAUTION" not in capsys.readouterr().out
    embedded(tmp_path, fetched_encoder, names={"dark": ["dark", "gloomy"]})
    said = capsys.readouterr().out
    assert said.count("CAUTION") == 1
    assert "does not know all words of 'a photo of gloomy'" in said


def test_the_contrastive_loss_is_the_mean_of_both_directions():
    logits, targets = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 2, 1, 0])
    images = -logits.log_softmax(dim=1)[range(5), targets].mean()
    columns = logits.log_softmax(dim=0)
    texts = -torch.stack([columns[targets == c, c].mean() for c in (0, 1, 2)]).mean()  # class 3 has no image here
    assert losses.contrastive(logits, targets).item() == pytest.approx(((images + texts) / 2).item(), rel=1e-6)


def test_the_sigmoid_loss_asks_of_each_class_alone():
    logits, targets = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 2, 1, 0])
    expected = F.binary_cross_entropy_with_logits(logits, F.one_hot(targets, 4).float(), reduction="sum") / 5
    assert losses.sigmoid(logits, targets).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("loss", [losses.contrastive, losses.sigmoid])
def test_losses_sum_in_full_precision(loss):
    logits = torch.randn(16, 400, generator=torch.Generator().manual_seed(0)).bfloat16()
    targets = torch.arange(16)
    assert loss(logits, targets).item() == loss(logits.float(), targets).item()


def test_a_temperature_at_its_limit_comes_back():
    torch.manual_seed(0)
    net = registry.build("clip", in_channels=1, n_classes=2, image_size=(8, 8), options={"tower": "small_cnn"})
    torch.nn.init.constant_(net.scale, 9.0)
    loss = F.cross_entropy(net.train()(torch.rand(4, 1, 8, 8)), torch.tensor([0, 1, 0, 1]))
    loss.backward()
    assert net.scale.item() == pytest.approx(np.log(100))
    assert net.scale.grad.item() != 0


def test_weights_of_another_run_leave_the_class_prompts_alone(tmp_path, fetched_encoder):
    blocks = [clip_block(fetched_encoder, tmp_path / name, texts)[0]
              for name, texts in (("one", ("dark", "light")), ("two", ("light", "dark")))]  # fmt: skip
    spec = {"architecture": "clip", "image_size": [10, 10], "store_size": [10, 10], "channels": 1, "task": "images"}
    first, second = (network.Classifier(spec | {"options": b["options"], "classes": ["a", "b"]}) for b in blocks)
    network.save_classifier(first, tmp_path / "w.safetensors")
    before = second.architecture.vectors.clone()
    load_pretrained(second, tmp_path / "w.safetensors")
    torch.testing.assert_close(second.architecture.vectors, before)
    assert not torch.allclose(first.architecture.vectors, before)
    first_weights, own = (dict(net.architecture.image.named_parameters()) for net in (first, second))
    assert all(torch.equal(value, own[name]) for name, value in first_weights.items() if value.ndim == 4)


def test_a_run_that_trains_its_encoder_starts_from_one_that_did_not(tmp_path, inputs, fetched_encoder):
    frozen, _ = clip_block(fetched_encoder, tmp_path / "frozen", epochs=2)
    first = train(inputs, tmp_path / "first", **frozen)
    trained, _ = clip_block(fetched_encoder, tmp_path / "trained", text={"train": 1}, epochs=1)
    only = {"pretrained": str(first["weights"]), "lr": 1e-9, "head_only_epochs": 1}
    after = train(inputs, tmp_path / "after", **trained, **only)
    start, end = (network.load_classifier(run["weights"]).state_dict() for run in (first, after))
    convolutions = [name for name, value in end.items() if value.ndim == 4]
    assert convolutions
    assert all(torch.equal(end[name], start[name]) for name in convolutions)


def written(path, vectors) -> str:
    prompts.write_prompts(path, [str(i) for i in range(len(vectors))], np.asarray(vectors, np.float32))
    return reference.reference_to(path)


def test_prompts_that_changed_after_the_plan_are_refused(tmp_path):
    first = written(tmp_path / "p", np.eye(2, 5))
    assert prompts.read_prompts(first, 2)["vectors"].shape == (2, 5)
    with pytest.raises(FoldstackError, match="prompts of 2 classes, not 3"):
        prompts.read_prompts(first, 3)
    assert written(tmp_path / "p", np.eye(2, 6)) != first
    with pytest.raises(FoldstackError, match="is not the file that this run was planned with"):
        prompts.read_prompts(first, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_learns_towards_its_prompts_and_is_exported_without_them(tmp_path, inputs, fetched_encoder, kind):
    block, vectors = clip_block(fetched_encoder, tmp_path / "text", **KINDS[kind])
    outputs = train(inputs, tmp_path / "run", **block)
    history = np.genfromtxt(outputs["history"], delimiter=",", names=True)
    assert history["train_loss"][-1] < 0.8 * history["train_loss"][0]
    shutil.rmtree(tmp_path / "text")
    loaded = network.load_classifier(outputs["weights"])
    assert not [name for name in loaded.state_dict() if "encoder" in name]
    same = np.array_equal(loaded.architecture.vectors, vectors)
    assert same == (kind == "frozen")
    if kind == "frozen":
        metadata = {"model": "m", "classes": ["dark", "light"], "task": "images", "image_size": [10, 10], "channels": 1,
                    "fit": "crop", "data_digest": "d", "folds_digest": "f"}  # fmt: skip
        export_model([(0, 0, outputs["weights"])], tmp_path / "m.onnx", metadata)
        pixels = np.load(inputs["pixels"])[:5]
        found = open_session(tmp_path / "m.onnx")[0].run(["probabilities"], {"image": pixels})[0]
        with torch.inference_mode():
            expected = loaded(torch.from_numpy(pixels)).softmax(dim=1).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def crash(**fields):
    if fields["step"] == 7:
        raise ConnectionError


@pytest.mark.parametrize("kind", ["the last layer, sigmoid"])
def test_a_run_that_trains_its_encoder_goes_on_with_the_same_bytes(
    tmp_path, inputs, fetched_encoder, monkeypatch, kind
):
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(checkpoint, "SHARE_OF_TIME", float("inf"))
    block, _ = clip_block(fetched_encoder, tmp_path / "text", **KINDS[kind], ema_decay=0.9)
    whole = read_bytes(train(inputs, tmp_path / "whole", **block))
    with pytest.raises(ConnectionError):
        train(inputs, tmp_path / "run", **block, report=crash)
    steps = []
    again = train(inputs, tmp_path / "run", **block, report=lambda **fields: steps.append(fields["step"]))
    assert min(steps) == 7
    assert read_bytes(again) == whole


def test_the_encoder_learns_at_its_share_of_the_rate(tmp_path, fetched_encoder):
    block, _ = clip_block(fetched_encoder, tmp_path / "text", text={"train": 1})
    net = registry.build("clip", in_channels=1, n_classes=2, image_size=(10, 10), options=block["options"])
    groups = build_optimizer(net, CONFIG).param_groups
    slow = {id(value) for value in net.trained_prompts.parameters() if value.requires_grad}
    assert {id(value) for group in groups if group.get("lr_scale") == 0.5 for value in group["params"]} == slow
    assert {id(value) for group in groups if "lr_scale" not in group for value in group["params"]} == {
        id(value) for name, value in net.named_parameters() if not name.startswith("trained_prompts.")
    }


def test_towers_of_timm_fit():
    net = registry.build("clip", in_channels=1, n_classes=3, image_size=(32, 32), options={"tower": "test_resnet"})
    assert net.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 3)


TEXT = "models.m: "
MISTAKES = {
    "no encoder": ({"architecture": "clip"}, "the architecture 'clip' needs text.encoder"),
    "text for another": ({"architecture": "small_cnn", "text": {"encoder": "x"}}, "text is for the architecture"),
    "smoothing of a question": (
        {"architecture": "clip", "loss": "sigmoid", "label_smoothing": 0.1, "text": {"encoder": "x"}},
        "loss: sigmoid has no label_smoothing",
    ),
    "pretrained image tower": (
        {"architecture": "clip", "options": {"tower": "resnet18", "tower_options": {"pretrained": True}},
         "text": {"encoder": "x"}},
        "pretrained is a key of the model, not of its options; move it there",
    ),
    "loss for another": ({"architecture": "small_cnn", "loss": "sigmoid"}, "loss: sigmoid compares images with text"),
    "no name": ({"architecture": "clip", "text": {"encoder": "./no/such"}}, "'./no/such' is neither a folder nor"),
    "no such CLIP": ({"architecture": "clip", "text": {"encoder": "clip:ViT-B/31"}}, "is none of clip:ViT-B/32"),
    "an empty folder": ({"architecture": "clip", "text": {"encoder": "."}}, "'.' is a folder without model"),
    "text for another, without an encoder": (
        {"architecture": "small_cnn", "text": {"templates": ["a {}"]}}, "text is for the architecture"
    ),
    "a compiled run on captions": (
        {"architecture": "clip", "loss": "sigmoid", "compile": True, "text": {"encoder": "x", "captions": True}},
        "which compile cannot follow",
    ),
    "mixed images": (
        {"architecture": "clip", "loss": "sigmoid", "augment": {"mixup": 0.2}, "text": {"encoder": "x"}},
        "takes whole images of one class",
    ),
    "no braces": ({"architecture": "clip", "text": {"encoder": "x", "templates": ["a"]}}, "templates.0"),
    "no number of layers": ({"architecture": "clip", "text": {"encoder": "x", "train": 0}}, "give frozen, all or"),
    "captions of a folder": ({"architecture": "clip", "loss": "sigmoid", "text": {"encoder": "x", "captions": True}},
                             "text.captions reads the column caption of data.format: csv (now digits)"),
    "a given option": ({"architecture": "clip", "options": {"prompts": "x"}}, "'clip' has no option 'prompts'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_in_the_config_is_named(name, tmp_path):
    block, expected = MISTAKES[name]
    table = tmp_path / "table.csv"
    table.write_text("path,label,caption\n")
    data = {"format": "csv", "path": str(table)} if name == "a compiled run on captions" else {}
    with pytest.raises(FoldstackError) as caught:
        resolve.resolve({"experiment": "x", "data": data, "models": {"m": block}})
    assert expected in str(caught.value)


def test_mixing_that_is_off_is_no_mistake():
    block = {"architecture": "clip", "loss": "sigmoid", "augment": {"mixup": 0}, "text": {"encoder": "x"}}
    found = resolve.resolve({"experiment": "x", "training": {"augment": {"mixup": 0.2}}, "models": {"m": block}})
    assert found["models"]["m"]["augment"] == {"mixup": 0}


def test_factors_within_a_block_are_read_as_they_are_there():
    spec = {"model": {"architecture": "clip", "text": {"encoder": "x"}}, "factors": {"text.lr_scale": ["1e-2", 1]}}
    found = resolve.resolve({"experiment": "x", "grid": {"g": spec}})["models"].values()
    assert [block["text"]["lr_scale"] for block in found] == [0.01, 1.0]
    assert all(type(block["text"]["lr_scale"]) is float for block in found)


def test_a_grid_of_images_and_texts():
    texts = [{name: {"text": {"encoder": "bert-base-chinese", "templates": [sentence]}}} for name, sentence in
             (("plain", "{}"), ("photo", "a photo of a {}."))]  # fmt: skip
    spec = {"model": {"architecture": "clip"}, "factors": {"options.tower": ["starnet_s1", "resnet18"], "text": texts}}
    models = resolve.resolve({"experiment": "x", "grid": {"g": spec}})["models"]
    assert list(models) == ["g-starnet_s1-plain", "g-starnet_s1-photo", "g-resnet18-plain", "g-resnet18-photo"]
    assert models["g-resnet18-photo"]["text"]["templates"] == ["a photo of a {}."]
    assert models["g-resnet18-photo"]["text"]["names"] == {}
