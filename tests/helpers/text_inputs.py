"""A tiny text encoder on disk, and the block of a run that learns towards its class prompts."""

import json

import numpy as np
import torch
import transformers

from foldstack.text import encoder, prompts, reference

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "dark", "light", "##house", "."]


def write_encoder(folder, kind="bert", **more):
    """A tiny text encoder of random weights, as transformers writes one, with a vocabulary of words."""
    folder.mkdir(parents=True)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
             "vocab_size": len(PIECES), "max_position_embeddings": 12}  # fmt: skip
    torch.manual_seed(0)
    if kind == "bert":
        model = transformers.BertModel(transformers.BertConfig(**shape, initializer_range=0.5, **more))
    else:
        ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0, "projection_dim": 6}
        model = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**shape, **ends))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return folder


def clip_block(fetched, folder, names=("a photo of dark", "a light photo"), **more):
    """The resolved block of a run on prompts of `fetched`, which are written to `folder`, and their vectors."""
    rows = encoder.tokens(fetched, names)
    ids, mask = encoder.padded(rows)
    vectors = encoder.embed(rows, encoder.read_encoder(fetched)).numpy()
    tokens = {"ids": ids.numpy(), "mask": mask.numpy(), "owner": np.arange(len(names))}
    folder.mkdir()
    prompts.write_prompts(folder / "prompts", ["dark", "light"], vectors, **tokens)
    text = {"train": "frozen", "lr_scale": 0.5, "captions": False} | more.pop("text", {})
    options = {"tower": "small_cnn", "tower_options": {"width": 4}, "features": 8}
    block = {"architecture": "clip", "options": options, "loss": "contrastive", "augmentation": "none"}
    block |= {"epochs": 6, "text": text} | more
    return reference.with_prompts(block, folder / "prompts", fetched.with_suffix(".json")), vectors


KINDS = {
    "frozen": {},
    "the last layer, sigmoid": {"text": {"train": 1}, "loss": "sigmoid"},
    "all": {"text": {"train": "all"}},
}
