"""Text encoders of transformers: a folder that `fetch.py` wrote, token ids and vectors. Nothing is downloaded here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from safetensors import SafetensorError
from torch import nn

from foldstack.errors import FoldstackError
from foldstack.files import read_json

SETTINGS = "foldstack.json"  # in the folder: `pooling` and `longest`
BATCH = 64
READ_OPTIONS = {
    "attn_implementation": "eager",
    "dtype": torch.float32,
    "use_safetensors": True,
    "trust_remote_code": False,
}
HAS_OWN_VECTOR = ("clip", "clip_text_model")  # model types that give one vector for a whole text

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class TextEncoder(nn.Module):
    """Token ids (N, L) and their mask (N, L; 1 where there is a token) to one vector a text, (N, D) of length 1.

    Args:
        model: of transformers.
        pooling: how a text's vector comes from those of its tokens: `mean`, `cls` (that of the first), `last`, or
            `own`, where the model gives one vector for the whole text.
    """

    def __init__(self, model: transformers.PreTrainedModel, pooling: str):
        super().__init__()
        self.model, self.pooling = model, pooling

    def train(self, mode: bool = True) -> "TextEncoder":
        """Stay in evaluation mode: a text has the same vector in every step, whatever else is in the batch."""
        return super().train(False)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found = self.model(input_ids=ids, attention_mask=mask)
        if self.pooling == "own":
            return F.normalize(found.text_embeds, dim=1)
        states = found.last_hidden_state
        if self.pooling == "cls":
            return F.normalize(states[:, 0], dim=1)
        if self.pooling == "last":
            return F.normalize(states[torch.arange(len(states)), mask.sum(dim=1) - 1], dim=1)
        share = mask[:, :, None].to(states.dtype)
        return F.normalize((states * share).sum(dim=1) / share.sum(dim=1), dim=1)


def read_encoder(folder) -> TextEncoder:
    """The encoder of a folder, in evaluation mode, without gradients.

    Raises:
        FoldstackError: the folder holds no such encoder, or a broken one.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = read_model(str(folder), config, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, SafetensorError) as error:
        words = str(error).splitlines()[0]
        raise FoldstackError(f"{folder} holds no usable text encoder ({words}); delete it and run again.") from error
    return TextEncoder(model, read_json(Path(folder) / SETTINGS)["pooling"]).eval().requires_grad_(False)


def read_model(name: str, config, **how) -> transformers.PreTrainedModel:
    """The text part of a model of transformers, from safetensors only; raises what transformers raises."""
    known = transformers.MODEL_FOR_TEXT_ENCODING_MAPPING
    kind: Any  # these classes have no base in common that can read a model
    if config.model_type in HAS_OWN_VECTOR:
        kind = transformers.CLIPTextModelWithProjection
    else:
        kind = transformers.AutoModelForTextEncoding if type(config) in known else transformers.AutoModel
    with torch.random.fork_rng(devices=[]):  # parts that are missing in the file are drawn at random
        torch.manual_seed(0)
        model = kind.from_pretrained(name, **READ_OPTIONS, **how)
    if config.model_type not in HAS_OWN_VECTOR and getattr(model, "pooler", None) is not None:
        model.pooler = None  # left from its own training; only the vectors of the tokens are used
    return model


def tokens(folder, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, cut to what the encoder can read."""
    longest = read_json(Path(folder) / SETTINGS)["longest"]
    return _tokenizer(folder)(list(texts), truncation=True, max_length=longest)["input_ids"]


def with_unknown_words(folder, rows: Sequence[Sequence[int]]) -> list[int]:
    """Indices of the texts with a word that the encoder has no token for; all such words get the same token."""
    tokenizer = _tokenizer(folder)
    unknown = tokenizer.unk_token_id
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id)
    if unknown is None or unknown in others:  # such as CLIP's, whose tokens can spell any text
        return []
    return [i for i, row in enumerate(rows) if unknown in row]


def _tokenizer(folder):
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (N, L) int64, with 0 after the end of shorter texts, and their mask (N, L) int64."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


@torch.inference_mode()
def embed(rows: Sequence[Sequence[int]], encoder: TextEncoder) -> torch.Tensor:
    """(N, D) float32 of texts by their tokens; those of one length go through together, so that none is padded."""
    found: list[tuple[int, torch.Tensor]] = []
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    while order:
        length = len(rows[order[0]])
        own = [i for i in order[:BATCH] if len(rows[i]) == length]
        found += zip(own, encoder(*padded([rows[i] for i in own])), strict=True)
        order = order[len(own) :]
    return torch.stack([vector for _, vector in sorted(found, key=lambda pair: pair[0])])


def train_last(encoder: TextEncoder, asked: int | str) -> None:
    """Make the last layers and all after them trainable; `all` means every parameter, word embeddings included.

    Raises:
        FoldstackError: the encoder has no such list of layers, or fewer.
    """
    if asked == "all":
        encoder.requires_grad_(True)
        return
    wanted = int(asked)
    count = encoder.model.config.num_hidden_layers
    lists = [name for name, part in encoder.named_modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    if not lists or wanted > count:
        found = f"has {count}" if lists else "shares its layers between depths, or names them in an unknown way"
        raise FoldstackError(f"text.train asks for {asked} layers, but the text encoder {found}; give all or fewer.")
    names = [name for name, _ in encoder.named_parameters()]
    first = next(i for i, name in enumerate(names) if name.startswith(f"{lists[0]}.{count - wanted}."))
    for _, parameter in list(encoder.named_parameters())[first:]:
        parameter.requires_grad_(True)
