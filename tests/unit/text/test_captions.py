"""Networks that learn from captions: their batches, retrieval by them, and both halves as files."""

import numpy as np
import pandas as pd
import pytest
import torch
from text_inputs import KINDS, clip_block
from training_inputs import CLASSES, read_bytes, train, write_inputs

from foldstack import tables
from foldstack.errors import FoldstackError
from foldstack.evaluation import retrieval
from foldstack.models import network
from foldstack.text import captions, encoder, ranking, reference

WORDS = ["a photo of dark", "dark", "a light photo"]  # the first and the last are the class prompts


@pytest.fixture(scope="module")
def captioned(tmp_path_factory):
    """The inputs with captions: dark images have one of two, light ones all the same."""

    def change(samples, pixels):
        samples["caption"] = [WORDS[2] if label else WORDS[i // 2 % 2] for i, label in enumerate(samples["label"])]

    return write_inputs(tmp_path_factory.mktemp("captioned"), change=change)


def with_captions(block, fetched_encoder, captioned, folder):
    samples = tables.read_samples(captioned["samples"])
    texts, numbers = captions.distinct(samples)
    rows = encoder.tokens(fetched_encoder, texts)
    vectors = encoder.embed(rows, encoder.read_encoder(fetched_encoder))
    captions.write_captions(folder / "captions", samples["sample_id"], numbers, vectors, *encoder.padded(rows))
    return block | {"captions": reference.reference_to(folder / "captions")}


@pytest.mark.parametrize("kind", ["frozen", "the last layer, sigmoid"])
def test_a_run_learns_from_captions_and_predicts_classes(tmp_path, captioned, fetched_encoder, kind):
    block, _ = clip_block(fetched_encoder, tmp_path / "text", **KINDS[kind] | {"epochs": 10})
    block = with_captions(block, fetched_encoder, captioned, tmp_path / "text")
    outputs = train(captioned, tmp_path / "run", **block)
    history = np.genfromtxt(outputs["history"], delimiter=",", names=True)
    assert history["train_loss"][-1] < 0.9 * history["train_loss"][0]
    oof, test = (tables.read_predictions(outputs[key], CLASSES) for key in ("oof", "test"))
    labels = tables.read_samples(captioned["samples"]).set_index("sample_id")["label"]
    hits = tables.probabilities(oof).argmax(axis=1) == labels[oof["sample_id"]].to_numpy()
    assert hits.mean() > 0.8
    assert oof["rank_text"].between(1, 3).all()
    assert test["rank_image"].between(1, len(test)).all()
    light = labels[oof["sample_id"]].to_numpy() == 1
    assert (oof["rank_text"][light] == 1).mean() > 0.8
    assert read_bytes(train(captioned, tmp_path / "again", **block)) == read_bytes(outputs)
    assert not [name for name in network.load_classifier(outputs["weights"]).state_dict() if "encoder" in name]


def test_a_batch_has_each_of_its_captions_once(fetched_encoder, captioned, tmp_path):
    block, _ = clip_block(fetched_encoder, tmp_path / "text")
    file = with_captions(block, fetched_encoder, captioned, tmp_path / "text")["captions"]
    ids = [f"sample{i:03d}" for i in (1, 0, 3, 2)]  # light, photo of dark, light, dark
    (vectors,), targets = captions.read_captions(file, False, "cpu")(ids).of(np.array([0, 1, 2]))
    assert targets.tolist() == [0, 1, 0]
    assert len(vectors) == 2
    (tokens, mask), targets = captions.read_captions(file, True, "cpu")(ids).of(np.array([3, 0]))
    assert targets.tolist() == [1, 0]
    assert mask.sum(dim=1).tolist() == [5, 3]
    assert tokens.shape == (2, 5)  # the longest caption, which is not here, has one more
    torch.testing.assert_close(encoder.read_encoder(fetched_encoder)(tokens, mask)[0], vectors[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(FoldstackError, match="has no caption of 'sample999'"):
        captions.read_captions(file, True, "cpu")(["sample999"])


def test_samples_without_a_caption_are_named():
    samples = pd.DataFrame({"sample_id": ["a", "b", "c"], "caption": ["x", None, None]})
    with pytest.raises(FoldstackError, match=r"'b' has none \(nor have 1 others\)"):
        captions.distinct(samples)


def ranks_by_hand(scores, own):
    """By sorting, a query at a time; equal scores count as lost."""
    found = {"rank_text": [], "rank_image": []}
    for i, text in enumerate(own):
        found["rank_text"].append(1 + sum(scores[i, u] >= scores[i, text] for u in range(scores.shape[1]) if u != text))
        best = max(scores[k, text] for k in range(len(own)) if own[k] == text)
        found["rank_image"].append(1 + sum(scores[k, text] >= best for k in range(len(own)) if own[k] != text))
    return found


def test_ranks_are_those_of_sorting(monkeypatch):
    monkeypatch.setattr(ranking, "BLOCK", 3)
    drawn = np.random.default_rng(0).integers(-3, 4, (19, 2)).astype(np.float32)  # many equal scores
    images, texts, own = drawn[:12], drawn[12:], np.arange(12) % 7
    found = ranking.ranks(images, texts, own)
    expected = ranks_by_hand(images @ texts.T, own)
    assert {key: value.tolist() for key, value in found.items()} == expected
    same = ranking.ranks(np.ones((4, 2), np.float32), np.ones((4, 2), np.float32), np.arange(4))
    assert same["rank_text"].tolist() == same["rank_image"].tolist() == [4] * 4


def test_the_table_of_retrieval_is_over_samples():
    frame = pd.DataFrame({"sample_id": ["a", "b"], "caption": "x", "rank_text": [1, 7], "rank_image": [2, 30]})
    other = frame.assign(rank_text=[3, 7])
    runs = [("m", "oof", frame), ("m", "oof", other), ("m", "test", frame.iloc[:0])]
    found = retrieval.table(runs, {"bootstrap": 100, "seed": 0})
    assert found[["part", "direction"]].to_numpy().tolist() == [["oof", "image_to_text"], ["oof", "text_to_image"]]
    first, second = found.to_dict("records")
    assert (first["r1"], first["r5"], first["r10"], first["median_rank"]) == (0.25, 0.5, 1.0, 5.0)
    assert (second["r1"], second["r5"], second["r10"], second["median_rank"]) == (0.0, 0.5, 0.5, 16.0)
    assert (first["samples"], first["gallery"], second["gallery"]) == (2, 1, 2)
    assert (first["r1_low"], first["r1_high"]) == (0.0, 0.5)
