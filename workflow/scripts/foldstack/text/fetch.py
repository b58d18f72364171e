"""Text encoders brought into one folder before any run: from a folder of the user's or from the Hugging Face hub.

All later jobs read only that folder, so they need no network. Weights are read from safetensors files only, and
no code that comes with a model is run.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import huggingface_hub
import torch
import transformers
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from foldstack.errors import FoldstackError
from foldstack.files import read_json, sha256_of, write_json
from foldstack.text import settings
from foldstack.text.encoder import SETTINGS, TextEncoder, padded, read_model, tokens

MODULES, POOLING = "modules.json", "1_Pooling/config.json"  # of sentence-transformers
POOLING_MODES = {"cls": "cls", "cls_token": "cls", "mean": "mean", "mean_tokens": "mean", "lasttoken": "last"}
TOKENIZER, LOCAL_KEYS = "tokenizer_config.json", ("is_local", "local_files_only")
LONGEST = 512
TRIAL = ["a photo of a cat", "dog"]


def fetch(encoder: str, folder, record) -> str:
    """Write the text part of `encoder` and its tokenizer to `folder`; returns their digest.

    `record` gets `source`, `sha256`, `features` (the vectors' width), `pooling` and `transformers` (its version).

    Raises:
        FoldstackError: it cannot be read or fetched, or is not a text encoder.
    """
    source, folder = settings.source(encoder), Path(folder)
    how = {"local_files_only": True} if settings.is_local(encoder) else {}
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **how)
        model = read_model(source, config, **how)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **how)
        pooling = _pooling(source, model)
    except FoldstackError:
        raise
    except Exception as error:  # no connection, nothing in the cache, no such model, a broken file
        raise FoldstackError(_sentence(encoder, source, str(error).splitlines()[0].rstrip("."))) from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        model.save_pretrained(made, max_shard_size="1000GB")
        tokenizer.save_pretrained(made)
        # Without the keys that differ between hub and folder, so that the digest is the same from both.
        kept = {key: value for key, value in read_json(made / TOKENIZER).items() if key not in LOCAL_KEYS}
        write_json(made / TOKENIZER, kept)
        write_json(made / SETTINGS, {"pooling": pooling, "longest": _longest(model, tokenizer)})
        features = _try(encoder, TextEncoder(model, pooling).eval(), made)
        shutil.rmtree(folder, ignore_errors=True)
        os.chmod(made, 0o755)
        os.replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    digest = folder_digest(folder)
    found = {"source": source, "sha256": digest, "features": features, "pooling": pooling}
    write_json(record, found | {"transformers": transformers.__version__})
    return digest


def folder_digest(folder) -> str:
    """SHA-256 of the names and contents of a folder's files; hidden ones do not count."""
    whole = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.is_file() and not path.name.startswith("."):
            whole.update(f"{path.name} {sha256_of(path)}\n".encode())
    return whole.hexdigest()


def _pooling(source: str, model) -> str:
    """As sentence-transformers' files say; without them the model's own vector, or the mean."""
    if isinstance(model, transformers.CLIPTextModelWithProjection):
        return "own"
    modules = _file(source, MODULES)
    if modules and any(module["type"].endswith(".Dense") for module in read_json(modules)):
        raise FoldstackError(f"{source}: {MODULES} asks for a dense layer after the pooling, which is not supported.")
    path = _file(source, POOLING)
    if not path:
        return "mean"
    asked, start = read_json(path), "pooling_mode_"
    names = {key.removeprefix(start) for key, value in asked.items() if key.startswith(start) and value is True}
    found = {POOLING_MODES.get(name) for name in names | {asked.get("pooling_mode") or next(iter(names), "")}}
    kind = found.pop() if len(found) == 1 else None
    if kind is None:
        raise FoldstackError(
            f"{source}: {POOLING} must ask for exactly one of {', '.join(sorted(set(POOLING_MODES.values())))}."
        )
    return kind


def _file(source: str, name: str) -> Path | None:
    """A file of a folder or of the hub; None where there is none."""
    if Path(source).is_dir():
        return Path(source) / name if (Path(source) / name).is_file() else None
    try:
        return Path(huggingface_hub.hf_hub_download(source, name))
    except LocalEntryNotFoundError:
        if not huggingface_hub.is_offline_mode():
            raise  # the connection broke, which does not mean that the file is missing
        return None
    except EntryNotFoundError:
        return None


def _longest(model, tokenizer) -> int:
    """Most tokens of a text; where the tokenizer does not say, the model's positions less two (as in RoBERTa)."""
    positions = getattr(model.config, "max_position_embeddings", None) or LONGEST
    return tokenizer.model_max_length if tokenizer.model_max_length <= positions else positions - 2


def _try(encoder: str, model: TextEncoder, folder: Path) -> int:
    """The width of the vectors, after two texts have gone through."""
    try:
        with torch.inference_mode():
            vectors = model(*padded(tokens(folder, TRIAL)))
    except Exception as error:  # a model of images, of images and text, or of two texts
        raise FoldstackError(
            f"text.encoder {encoder!r} is not a model that turns a text into vectors ({str(error).splitlines()[0]}); "
            "give another."
        ) from error
    if not torch.isfinite(vectors).all():
        raise FoldstackError(f"text.encoder {encoder!r} gives vectors that are not finite numbers; give another.")
    return vectors.shape[1]


def _sentence(encoder: str, source: str, words: str) -> str:
    if settings.is_local(encoder):
        return f"The folder {encoder!r} holds no usable text encoder ({words}); get it again or give another."
    return (
        f"The text encoder {source!r} cannot be fetched ({words}); run once where the hub can be reached, or download "
        "it and give text.encoder the folder."
    )
