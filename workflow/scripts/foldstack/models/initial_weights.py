"""Put fetched weights into a new network, except the parts that depend on the data."""

from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from foldstack.errors import FoldstackError
from foldstack.models import registry
from foldstack.models.network import Classifier, head_of, last_linear


def load_pretrained(classifier: Classifier, path) -> None:
    """Start `classifier` from the weights in `path`, except its last layer, which has other classes.

    timm models load them as timm does: the first layer adapted to the channels, position embeddings to the size.
    Own architectures take files of the same architecture, such as the weights.safetensors of a run. Those with a tower
    (registry.TOWERS) also take a file of the tower's network, without its last layer; from a run that differs outside
    the tower, they take the tower only. All else keeps its random initial weights.

    Raises:
        FoldstackError: the weights are of another network.
    """
    given = safetensors.torch.load_file(path)
    given = {name.removeprefix("architecture."): value for name, value in given.items()}
    try:
        start = _start(classifier, given)
    except (FoldstackError, KeyError, RuntimeError) as error:
        raise FoldstackError(
            f"The weights in {Path(path).name} do not fit {classifier.spec['architecture']!r} with the options "
            f"{classifier.spec['options']} ({_reason(error)}); correct pretrained."
        ) from error
    own = classifier.architecture.state_dict()
    with torch.no_grad():
        for name, value in start.items():
            own[name].copy_(value)


def _start(classifier: Classifier, given: dict) -> dict[str, torch.Tensor]:
    """The weights that replace the architecture's random initial ones, by its own names."""
    architecture, name = classifier.architecture, classifier.spec["architecture"]
    prefix = f"{registry.TOWERS[name]}." if name in registry.TOWERS else ""
    if name in registry.own_architectures() and any(key.startswith(prefix) for key in given):
        return _of_run(classifier, given, prefix)
    for key, module in architecture.named_modules():
        if hasattr(module, "pretrained_cfg"):
            return _by_timm(classifier.spec, given, module, f"{key}." if key else "")
    tower = architecture.get_submodule(registry.TOWERS[name])
    return _same(tower.state_dict(), given, _names(tower, last_linear(tower)), prefix)


def _of_run(classifier: Classifier, given: dict, prefix: str) -> dict[str, torch.Tensor]:
    """Of a run of the same architecture; `prefix` is that of its tower, or ""."""
    own = classifier.architecture.state_dict()
    kept = _names(classifier.architecture, head_of(classifier))
    try:
        return _same(own, given, kept | set(getattr(classifier.architecture, "of_these_classes", ())))
    except FoldstackError:
        if not prefix:
            raise
    return _same(_within(prefix, own), _within(prefix, given), set(), prefix)  # a run with another fusion, say


def _by_timm(spec: dict, given: dict, part: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """Of the network `part` of timm, which is the whole architecture, or is found in it under `prefix`."""
    overlay = {"state_dict": given, "custom_load": False, "source": ""}
    more = {"pretrained": True, "pretrained_cfg_overlay": overlay}
    options = {name: value for name, value in spec["options"].items() if name not in registry.FROM_FILES}
    if prefix:
        more = {"tower_options": (options.get("tower_options") or {}) | more}
    fresh, loaded = (_within(prefix, _drawn(spec, each)) for each in (options, options | more))
    head_of_timm = getattr(part, "get_classifier", None)
    head = _names(part, head_of_timm()) if head_of_timm else set()
    for name in sorted({name for name, _ in part.named_parameters()} - head):
        # timm ignores weights that fit nowhere; such a part keeps its random initial values.
        if len(fresh[name].unique()) > 1 and torch.equal(fresh[name], loaded[name]):
            raise FoldstackError(f"they hold no {name}")
    return {prefix + name: loaded[name] for name in set(part.state_dict()) - head}


def _drawn(spec: dict, options: dict) -> dict[str, torch.Tensor]:
    """State of a network that is built with the same random numbers each time."""
    shape = {"in_channels": spec["channels"], "n_classes": len(spec["classes"])}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = registry.build(spec["architecture"], **shape, image_size=tuple(spec["image_size"]), options=options)
    return built.state_dict()


def _same(own: dict, given: dict, kept: set[str], prefix: str = "") -> dict[str, torch.Tensor]:
    """`given` without the names `kept`, where both have the same names and shapes; `prefix` is put before them."""
    for name in sorted((set(own) | set(given)) - kept):
        if name not in own or name not in given or own[name].shape != given[name].shape:
            raise FoldstackError(f"{prefix}{name} differs")
    return {prefix + name: given[name] for name in set(own) - kept}


def _within(prefix: str, tensors: dict) -> dict:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _names(module: nn.Module, part: nn.Module) -> set[str]:
    """Names in `module` of the parameters of `part`."""
    ids = set(map(id, part.parameters()))
    return {name for name, value in module.named_parameters() if id(value) in ids}


def _reason(error: Exception) -> str:
    """The first thing that torch or timm found, in one line."""
    lines = str(error.__cause__ or error).splitlines() or [""]
    return lines[min(1, len(lines) - 1)].strip().rstrip(".")
