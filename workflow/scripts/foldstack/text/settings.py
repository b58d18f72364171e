"""Checks of a model's `text` in the config. Runs at Snakemake's parse time: standard library only."""

import os

from foldstack.errors import FoldstackError

LOSSES = ("contrastive", "sigmoid")
MIXED = {"mixup", "cutmix"}


def check(name: str, block: dict) -> None:
    """Models that compare images with text have an encoder, and others have nothing to do with one."""
    clip, text = block["architecture"] == "clip", block.get("text")
    if clip != bool(text):
        raise FoldstackError(
            f"Config: models.{name}: the architecture 'clip' needs text.encoder, the folder of a text encoder."
            if clip
            else f"Config: models.{name}: text is for the architecture 'clip', not {block['architecture']!r}; drop it."
        )
    if not clip and block["loss"] in LOSSES:
        raise FoldstackError(
            f"Config: models.{name}: loss: {block['loss']} compares images with text; set architecture: clip, or "
            "another loss."
        )
    if block["loss"] in LOSSES and (block["class_weights"] != "none" or MIXED & set(block["augment"])):
        raise FoldstackError(
            f"Config: models.{name}: loss: {block['loss']} takes whole images of one class, each counted once; drop "
            "class_weights, mixup and cutmix."
        )
    if clip and not os.path.isfile(os.path.join(text["encoder"], "model.safetensors")):
        raise FoldstackError(
            f"Config: models.{name}: text.encoder {text['encoder']!r} is no folder with model.safetensors; give the "
            "folder of a text encoder."
        )
