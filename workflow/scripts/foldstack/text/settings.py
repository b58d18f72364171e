"""A model's `text` in the config: where its encoder comes from, and checks. Runs at Snakemake's parse time: standard
library only."""

import hashlib
import os
import re

from foldstack.errors import FoldstackError

LOSSES = ("contrastive", "sigmoid")
# OpenAI's names of the models, and those of their files for transformers.
CLIP = {
    "clip:ViT-B/32": "openai/clip-vit-base-patch32",
    "clip:ViT-B/16": "openai/clip-vit-base-patch16",
    "clip:ViT-L/14": "openai/clip-vit-large-patch14",
    "clip:ViT-L/14@336px": "openai/clip-vit-large-patch14-336",
}
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def is_local(encoder: str) -> bool:
    """Whether the config names a folder; a name without one is looked up in the hub."""
    return os.path.isdir(encoder)


def source(encoder: str) -> str:
    """A folder, or a name in the hub."""
    return CLIP.get(encoder, encoder)


def slug(encoder: str) -> str:
    """The name of the encoder's folder in the results: safe, readable and unique."""
    end = encoder.rstrip("/")
    end = end.rpartition("/")[2] if is_local(encoder) else end
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", end).strip("-._") or "encoder"
    return f"{safe}-{hashlib.sha256(encoder.encode()).hexdigest()[:6]}"


def local_files(encoder: str) -> list[str]:
    """Files of a local encoder that decide its vectors; none for one of the hub."""
    if not is_local(encoder):
        return []
    found = [*os.scandir(encoder)]
    pooling = os.path.join(encoder, "1_Pooling", "config.json")
    files = [
        entry.path
        for entry in found
        if entry.is_file() and entry.name.endswith((".json", ".safetensors", ".txt", ".model"))
    ]
    return sorted(files + ([pooling] if os.path.isfile(pooling) else []))


def mixes(block: dict) -> bool:
    """Whether a run mixes images of several classes."""
    return any(block["augment"].get(key) for key in ("mixup", "cutmix"))


def check(name: str, block: dict) -> None:
    """Refuse a model that compares images with text but has no encoder, and an encoder in any other model."""
    clip, text = block["architecture"] == "clip", block.get("text")
    if clip != (text is not None) or (text is not None and not text.get("encoder")):
        raise FoldstackError(
            f"Config: models.{name}: the architecture 'clip' needs text.encoder, the name or folder of a text encoder."
            if clip
            else f"Config: models.{name}: text is for the architecture 'clip', not {block['architecture']!r}; drop it."
        )
    if not clip and block["loss"] in LOSSES:
        raise FoldstackError(
            f"Config: models.{name}: loss: {block['loss']} compares images with text; set architecture: clip, or "
            "another loss."
        )
    if block["loss"] in LOSSES and (block["class_weights"] != "none" or mixes(block)):
        raise FoldstackError(
            f"Config: models.{name}: loss: {block['loss']} takes whole images of one class, each counted once; drop "
            "class_weights, mixup and cutmix."
        )
    if block["loss"] == "sigmoid" and block["label_smoothing"]:
        raise FoldstackError(f"Config: models.{name}: loss: sigmoid has no label_smoothing; drop one of them.")
    if text is not None:
        _check_encoder(name, text["encoder"])


def check_captions(name: str, block: dict, data_format: str) -> None:
    """Refuse captions without a table or without a loss that compares each image with the captions of a batch."""
    asked = block.get("text", {}).get("captions")
    if asked and (data_format != "csv" or block["loss"] not in LOSSES):
        raise FoldstackError(
            f"Config: models.{name}: text.captions reads the column caption of data.format: csv (now {data_format}) "
            f"and takes loss: contrastive or sigmoid (now {block['loss']}); set both."
        )
    if asked and block["compile"]:
        raise FoldstackError(
            f"Config: models.{name}: text.captions changes the number of texts from step to step, which compile cannot "
            "follow; drop one of them."
        )


def check_dual(models: list[str]) -> None:
    """Refuse `snakemake dual` where no model has a frozen text encoder; `models` are those that do."""
    if not models:
        raise FoldstackError(
            "snakemake dual writes both halves of models with a frozen text encoder (architecture: clip, text.train: "
            "frozen), and the config has none."
        )


def _check_encoder(name: str, encoder: str) -> None:
    where = f"Config: models.{name}: text.encoder {encoder!r}"
    if is_local(encoder):
        if not any(os.path.isfile(os.path.join(encoder, file)) for file in WEIGHTS):
            raise FoldstackError(f"{where} is a folder without model.safetensors; give that of a text encoder.")
    elif encoder.startswith("clip:"):
        if encoder not in CLIP:
            raise FoldstackError(f"{where} is none of {', '.join(CLIP)}; correct it or give a folder.")
    elif not HUB_NAME.fullmatch(encoder):
        raise FoldstackError(f"{where} is neither a folder nor a name in the Hugging Face hub; correct it.")
