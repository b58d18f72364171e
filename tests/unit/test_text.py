"""Class prompts and the frozen text encoder, against plain arithmetic; the network that is trained towards them."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from training_inputs import train, write_inputs

from foldstack import config, contrastive, network
from foldstack.errors import FoldstackError
from foldstack.models import registry
from foldstack.onnx_export import export_model
from foldstack.onnx_session import open_session
from foldstack.text import bert, prompts
from foldstack.text.wordpiece import WordPiece

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "photo", "of", "dark", "light", "##house", "##s", ".", "$", "cafe",
          "数", "字", "'", "t", "##n", "5"]  # fmt: skip
SHAPE = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 16, "vocab_size": len(PIECES), "max_position_embeddings": 12}  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder with a tiny encoder of random weights, and its tensors."""
    folder = tmp_path_factory.mktemp("encoder")
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator) * 0.3

    width, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    tensors = {f"embeddings.{kind}_embeddings.weight": drawn(rows, width)
               for kind, rows in (("word", len(PIECES)), ("position", 12), ("token_type", 2))}  # fmt: skip
    linear = {"attention.self.query": (width, width), "attention.self.key": (width, width),
              "attention.self.value": (width, width), "attention.output.dense": (width, width),
              "intermediate.dense": (inner, width), "output.dense": (width, inner)}  # fmt: skip
    norms = ["embeddings.LayerNorm"]
    for i in range(SHAPE["num_hidden_layers"]):
        for name, shape in linear.items():
            tensors[f"encoder.layer.{i}.{name}.weight"] = drawn(*shape)
            tensors[f"encoder.layer.{i}.{name}.bias"] = drawn(shape[0])
        norms += [f"encoder.layer.{i}.attention.output.LayerNorm", f"encoder.layer.{i}.output.LayerNorm"]
    for name in norms:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 1 + drawn(width), drawn(width)
    tensors["pooler.dense.weight"] = drawn(width, width)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(SHAPE))
    (folder / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    return folder, tensors


TOKENS = {
    "A photo of LIGHTHOUSE": ["a", "photo", "of", "light", "##house"],
    "darks.$5": ["dark", "##s", ".", "$", "5"],
    "Café\u0301 \u200b数字": ["cafe", "数", "字"],
    "an't": ["a", "##n", "'", "t"],
    "a\tb": ["a", "[UNK]"],
    "lightx": ["[UNK]"],
    "a" * 101: ["[UNK]"],
    "": [],
}


@pytest.mark.parametrize("text", TOKENS)
def test_pieces_are_those_of_bert(encoder, text):
    ids = WordPiece(encoder[0]).encode(text, 12)
    assert [PIECES[i] for i in ids] == ["[CLS]", *TOKENS[text], "[SEP]"]


def test_long_texts_are_cut_and_keep_their_end_mark(encoder):
    ids = WordPiece(encoder[0]).encode("a " * 50, 12)
    assert len(ids) == 12
    assert PIECES[ids[-1]] == "[SEP]"


def by_hand(tensors: dict, ids: list[int]) -> torch.Tensor:
    """The mean of the last layer's states, by the formulas of the paper."""

    def norm(states, name):
        return F.layer_norm(states, (8,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-12)

    def linear(states, name):
        return states @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    tables = [tensors[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")]
    states = norm(tables[0][ids] + tables[1][: len(ids)] + tables[2][0], "embeddings.LayerNorm")
    for i in range(2):
        layer = f"encoder.layer.{i}."
        q, k, v = (linear(states, f"{layer}attention.self.{part}").view(-1, 2, 4).transpose(0, 1)
                   for part in ("query", "key", "value"))  # fmt: skip
        seen = ((q @ k.transpose(1, 2) / 2).softmax(dim=-1) @ v).transpose(0, 1).reshape(-1, 8)
        states = norm(states + linear(seen, f"{layer}attention.output.dense"), f"{layer}attention.output.LayerNorm")
        inner = F.gelu(linear(states, f"{layer}intermediate.dense"))
        states = norm(states + linear(inner, f"{layer}output.dense"), f"{layer}output.LayerNorm")
    return F.normalize(states.mean(dim=0), dim=0)


def test_vectors_are_those_of_the_formulas(encoder):
    folder, tensors = encoder
    model, tokenizer = bert.read_bert(folder)
    texts = ["a photo of dark", "light"]
    found = bert.embed(texts, model, tokenizer)
    expected = torch.stack([by_hand(tensors, tokenizer.encode(text, 12)) for text in texts])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_another_kind_of_encoder_and_a_broken_one_are_refused(encoder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SHAPE | {"model_type": "t5"}))
    with pytest.raises(FoldstackError, match="only the type 'bert' is read"):
        bert.read_bert(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FoldstackError, match="no usable weights"):
        bert.read_bert(tmp_path)


def test_prompts_are_each_template_with_each_name():
    found = prompts.prompts(["fire_truck", "cat"], ["a {}.", "the {}"], {"cat": ["cat", "kitten"]})
    assert found == {
        "fire_truck": ["a fire truck.", "the fire truck"],
        "cat": ["a cat.", "the cat", "a kitten.", "the kitten"],
    }
    with pytest.raises(FoldstackError, match=r"text.names has the class 'dog'"):
        prompts.prompts(["cat"], ["{}"], {"dog": "hound"})


def test_a_class_has_the_mean_direction_of_its_prompts():
    table = {"x": [1.0, 0.0], "y": [0.0, 1.0], "z": [0.6, 0.8]}
    found = prompts.class_vectors({"a": ["x", "y"], "b": ["z"]}, lambda texts: [table[text] for text in texts])
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5], [0.6, 0.8]], rtol=1e-6)


def test_the_contrastive_loss_is_the_mean_of_both_directions():
    logits, targets = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 2, 1, 0])
    images = -logits.log_softmax(dim=1)[range(5), targets].mean()
    columns = logits.log_softmax(dim=0)
    texts = -torch.stack([columns[targets == c, c].mean() for c in (0, 1, 2)]).mean()  # class 3 has no image here
    assert contrastive.contrastive(logits, targets).item() == pytest.approx(((images + texts) / 2).item(), rel=1e-6)


def test_the_sigmoid_loss_asks_of_each_class_alone():
    logits, targets = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 2, 1, 0])
    expected = F.binary_cross_entropy_with_logits(logits, F.one_hot(targets, 4).float(), reduction="sum") / 5
    assert contrastive.sigmoid(logits, targets).item() == pytest.approx(expected.item(), rel=1e-6)


def written(path, vectors) -> str:
    prompts.write_prompts(path, [str(i) for i in range(len(vectors))], np.asarray(vectors, np.float32))
    return prompts.reference_to(path)


def test_prompts_that_changed_after_the_plan_are_refused(tmp_path):
    reference = written(tmp_path / "p", np.eye(2, 5))
    assert prompts.read_prompts(reference, 2).shape == (2, 5)
    with pytest.raises(FoldstackError, match="prompts of 2 classes, not 3"):
        prompts.read_prompts(reference, 3)
    assert written(tmp_path / "p", np.eye(2, 6)) != reference
    with pytest.raises(FoldstackError, match="is not the file that this run was planned with"):
        prompts.read_prompts(reference, 2)


@pytest.mark.parametrize("loss", ["contrastive", "sigmoid"])
def test_a_run_learns_towards_its_prompts_and_is_exported_without_them(tmp_path, loss):
    inputs = write_inputs(tmp_path / "data")
    vectors = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    written(tmp_path / "prompts", vectors)
    options = {"tower": "small_cnn", "tower_options": {"width": 4}, "features": 8}
    block = {"architecture": "clip", "options": options, "loss": loss, "epochs": 6, "augmentation": "none"}
    block = prompts.with_prompts(block, tmp_path / "prompts")
    outputs = train(inputs, tmp_path / "run", **block)
    history = np.genfromtxt(outputs["history"], delimiter=",", names=True)
    assert history["train_loss"][-1] < 0.8 * history["train_loss"][0]
    (tmp_path / "prompts").unlink()
    loaded = network.load_classifier(outputs["weights"])
    np.testing.assert_array_equal(loaded.architecture.vectors, vectors)
    metadata = {"model": "m", "classes": ["dark", "light"], "task": "images", "image_size": [10, 10], "channels": 1,
                "fit": "crop", "data_digest": "d", "folds_digest": "f"}  # fmt: skip
    export_model([(0, 0, outputs["weights"])], tmp_path / "m.onnx", metadata)
    pixels = np.load(inputs["pixels"])[:5]
    given = open_session(tmp_path / "m.onnx")[0].run(["probabilities"], {"image": pixels})[0]
    with torch.inference_mode():
        expected = loaded(torch.from_numpy(pixels)).softmax(dim=1).numpy()
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_towers_of_timm_fit():
    net = registry.build("clip", in_channels=1, n_classes=3, image_size=(32, 32), options={"tower": "test_resnet"})
    assert net.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 3)


TEXT = "models.m: "
MISTAKES = {
    "no encoder": ({"architecture": "clip"}, "the architecture 'clip' needs text.encoder"),
    "text for another": ({"architecture": "small_cnn", "text": {"encoder": "x"}}, "text is for the architecture"),
    "loss for another": ({"architecture": "small_cnn", "loss": "sigmoid"}, "loss: sigmoid compares images with text"),
    "no folder": ({"architecture": "clip", "text": {"encoder": "no/such"}}, "'no/such' is no folder with model.saf"),
    "no braces": ({"architecture": "clip", "text": {"encoder": "x", "templates": ["a"]}}, "templates.0"),
    "a given option": ({"architecture": "clip", "options": {"prompts": "x"}}, "'clip' has no option 'prompts'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_in_the_config_is_named(name):
    block, expected = MISTAKES[name]
    with pytest.raises(FoldstackError) as caught:
        config.resolve({"experiment": "x", "models": {"m": block}})
    assert expected in str(caught.value)


def test_a_grid_of_images_and_texts(encoder):
    texts = [{name: {"text": {"encoder": str(encoder[0]), "templates": [sentence]}}} for name, sentence in
             (("plain", "{}"), ("photo", "a photo of a {}."))]  # fmt: skip
    spec = {"model": {"architecture": "clip"}, "factors": {"options.tower": ["starnet_s1", "resnet18"], "text": texts}}
    models = config.resolve({"experiment": "x", "grid": {"g": spec}})["models"]
    assert list(models) == ["g-starnet_s1-plain", "g-starnet_s1-photo", "g-resnet18-plain", "g-resnet18-photo"]
    assert models["g-resnet18-photo"]["text"]["templates"] == ["a photo of a {}."]
    assert models["g-resnet18-photo"]["text"]["names"] == {}
