"""A text encoder of the BERT family, frozen, from a local folder: config.json, model.safetensors, vocab.txt.

Devlin et al., "BERT", arXiv:1810.04805. Sentence-transformers folders (such as all-MiniLM-L6-v2) and plain ones (such
as bert-base-chinese) are read alike; no other package is needed, and nothing is downloaded.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import nn

from foldstack.errors import FoldstackError
from foldstack.jobs import read_json
from foldstack.text.wordpiece import WordPiece

SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
         "max_position_embeddings")  # fmt: skip
# Names of a layer's parts in such files, and in torch's own layer.
PARTS = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


class Bert(nn.Module):
    """Token ids (N, L) and their mask (N, L; true where there is a token) to one vector a text, (N, hidden_size)."""

    def __init__(self, shape: dict, pooling: str):
        super().__init__()
        width, self.pooling = shape["hidden_size"], pooling
        self.words = nn.Embedding(shape["vocab_size"], width)
        self.positions = nn.Embedding(shape["max_position_embeddings"], width)
        self.kinds = nn.Embedding(shape.get("type_vocab_size", 2), width)
        epsilon = shape.get("layer_norm_eps", 1e-12)
        self.norm = nn.LayerNorm(width, epsilon)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, shape["num_attention_heads"], shape["intermediate_size"], 0.0, F.gelu, epsilon, batch_first=True
            )
            for _ in range(shape["num_hidden_layers"])
        )

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        states = self.norm(self.words(ids) + self.positions(places) + self.kinds(torch.zeros_like(ids)))
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=~mask)
        if self.pooling == "cls":
            return states[:, 0]
        share = mask[:, :, None].float()
        return (states * share).sum(dim=1) / share.sum(dim=1)


def read_bert(folder) -> tuple[Bert, WordPiece]:
    """The encoder of a folder, in evaluation mode, and its tokenizer.

    Raises:
        FoldstackError: the folder holds no such encoder, or a broken one.
    """
    folder = Path(folder)
    shape = read_json(folder / "config.json")
    if shape.get("model_type") != "bert":
        raise FoldstackError(
            f"{folder} holds a text model of type {shape.get('model_type')!r}; only the type 'bert' is read, such as "
            "all-MiniLM-L6-v2 or bert-base-chinese."
        )
    missing = [key for key in SHAPE if key not in shape]
    if missing:
        raise FoldstackError(f"{folder / 'config.json'} has no {missing[0]!r}; give a complete folder.")
    path = folder / "model.safetensors"
    try:
        encoder = Bert(shape, _pooling(folder))
        with safe_open(path, framework="pt") as file:
            encoder.load_state_dict(_translated({name.removeprefix("bert."): name for name in file.keys()}, file))  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, AssertionError) as error:
        raise FoldstackError(f"{path} holds no usable weights of a text encoder ({error}); get it again.") from error
    return encoder.eval().requires_grad_(False), WordPiece(folder)


@torch.inference_mode()
def embed(texts: Sequence[str], encoder: Bert, tokenizer: WordPiece) -> torch.Tensor:
    """(len(texts), hidden_size) float32, each of length 1; a text alone or among others gives the same vector."""
    longest = encoder.positions.num_embeddings
    rows = []
    for text in texts:  # one at a time: padding would change the last bits
        ids = torch.tensor([tokenizer.encode(text, longest)])
        rows.append(encoder(ids, torch.ones_like(ids, dtype=torch.bool)))
    return F.normalize(torch.cat(rows), dim=1)


def _pooling(folder: Path) -> str:
    """How a text's vector comes from those of its tokens: the mean, or that of the first where the folder says so."""
    path = folder / "1_Pooling" / "config.json"
    return "cls" if path.exists() and read_json(path).get("pooling_mode_cls_token") else "mean"


def _translated(names: dict[str, str], file) -> dict[str, torch.Tensor]:
    """The file's tensors under the names of `Bert`; those of the pooler and of training heads are left out."""
    tensors = {name: file.get_tensor(stored).float() for name, stored in names.items()}
    found = {}
    embeddings = {"words": "word", "positions": "position", "kinds": "token_type"}
    for own, theirs in embeddings.items():
        found[f"{own}.weight"] = tensors[f"embeddings.{theirs}_embeddings.weight"]
    for kind in ("weight", "bias"):
        found[f"norm.{kind}"] = tensors[f"embeddings.LayerNorm.{kind}"]
        for number in range(len({name.split(".")[2] for name in tensors if name.startswith("encoder.layer.")})):
            theirs, own = f"encoder.layer.{number}.", f"layers.{number}."
            queries = [tensors[f"{theirs}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            found[f"{own}self_attn.in_proj_{kind}"] = torch.cat(queries)
            for part, name in PARTS.items():
                found[f"{own}{name}.{kind}"] = tensors[f"{theirs}{part}.{kind}"]
    return found
