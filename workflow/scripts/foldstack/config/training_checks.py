"""Checks of a model's training keys that the schema cannot express, before any job starts.

Runs at Snakemake's parse time: names of timm are read from its source text, since importing it takes seconds.
"""

import difflib
import functools
import importlib.util
import re
from pathlib import Path

from foldstack.errors import FoldstackError
from foldstack.models import pretrained, registry

OF_TORCH = ("adam", "adamw", "sgd")
# Those that need extra packages (apex, bitsandbytes), second derivatives, or draw random numbers that no
# checkpoint holds.
NOT_OFFERED = re.compile("fused.*|bnb.*|adahessian|kron.*")


@functools.lru_cache(maxsize=1)
def optimizers() -> tuple[str, ...]:
    """Sorted names of the optimizers that a config may name."""
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return OF_TORCH
    text = Path(spec.submodule_search_locations[0], "optim", "_optim_factory.py").read_text(encoding="utf-8")
    found = set(re.findall(r"^\s+name='(\w+)',$", text, re.MULTILINE))
    return tuple(sorted({name for name in found if not NOT_OFFERED.fullmatch(name)} | set(OF_TORCH)))


def check(name: str, block: dict, task: str) -> None:
    """Raise FoldstackError where the training keys of the model `name` contradict each other or its architecture."""
    where, optimizer = f"Config: models.{name}", block["optimizer"]
    if optimizer not in optimizers():
        near = difflib.get_close_matches(optimizer, optimizers(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(optimizers())}."
        raise FoldstackError(f"{where}: there is no optimizer {optimizer!r}; {hint}")
    _check_pretrained(where, block)
    if block["schedule"] == "multistep" and not block["milestones"]:
        raise FoldstackError(f"{where}: schedule: multistep needs milestones, the epochs after which lr decays.")
    if block["schedule"] in ("wsd", "rsqrt") and block["warmup_epochs"] >= block["epochs"]:
        raise FoldstackError(
            f"{where}: warmup_epochs {block['warmup_epochs']:g} leaves none of {block['epochs']} epochs for "
            f"schedule: {block['schedule']}; lower it."
        )
    if block["min_lr"] > block["lr"]:
        raise FoldstackError(f"{where}: min_lr {block['min_lr']:g} is above lr {block['lr']:g}; lower it.")
    if "swap" in block["tta"] and task != "pairs":
        raise FoldstackError(f"{where}: tta: swap is for pairs, but data.format gives {task}; drop it.")
    if block["temperature"] and block["selection"] == "final":
        raise FoldstackError(f"{where}: temperature is fitted on the inner split; set selection: inner or drop it.")
    for key in ("head_only_epochs", "compile"):
        if block[key] and block["gpus"] not in (0, 1):
            raise FoldstackError(f"{where}: {key} is for runs on one GPU; set gpus: 1 or drop it.")
    if block["architecture"] in registry.own_architectures():
        for key in ("layer_decay", "gradient_checkpointing"):
            if block[key]:
                raise FoldstackError(f"{where}: {key} is for models of timm; drop it for {block['architecture']!r}.")


def _check_pretrained(where: str, block: dict) -> None:
    asked, options = block["pretrained"], block["options"]
    inner = options.get("tower_options") if block["architecture"] in registry.TOWERS else None
    if "pretrained" in options or "pretrained" in (inner or {}):
        raise FoldstackError(f"{where}.options: pretrained is a key of the model, not of its options; move it there.")
    architecture = registry.starts_from(block["architecture"], options)
    named = repr(architecture) if architecture == block["architecture"] else f"the tower {architecture!r}"
    try:
        if not asked or pretrained.local_file(asked):
            return
    except FoldstackError as error:
        raise FoldstackError(f"{where}: {error}") from error
    if architecture not in registry.timm_architectures() or architecture in registry.own_architectures():
        raise FoldstackError(f"{where}: no weights of {named} are published; give pretrained a file.")
    tags = registry.timm_weights(architecture)
    if not tags:
        raise FoldstackError(f"{where}: timm lists no weights of {named}; give pretrained a file.")
    if asked is not True and asked not in tags:
        near = difflib.get_close_matches(asked, tags, n=3, cutoff=0.3) or tags[:3]
        raise FoldstackError(
            f"{where}: pretrained is {asked!r}, which is neither a file nor weights of {named} that timm lists; "
            f"similar tags are {', '.join(near)}."
        )
