"""Put fetched weights into a fresh network, the parts that depend on the data set aside."""

from pathlib import Path

import safetensors.torch
import torch

from foldstack.errors import FoldstackError
from foldstack.models import registry
from foldstack.models.network import Classifier, head_of


def load_pretrained(classifier: Classifier, path) -> None:
    """Start `classifier` from the weights in `path`, but for its last layer, whose classes are others.

    timm's models take them as timm does: the first layer adapted to the channels, position embeddings to the size.
    Own architectures take files of the same architecture, such as the weights.safetensors of a run.

    Raises:
        FoldstackError: the weights are of another network.
    """
    if classifier.spec["architecture"] in registry.own_architectures():
        _load_own(classifier, path)
        return
    spec = classifier.spec
    overlay = {"file": str(path), "custom_load": False, "source": ""}
    given = {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        fresh, network = _drawn(spec, spec["options"]), _drawn(spec, spec["options"] | given)
    except (FoldstackError, KeyError, RuntimeError) as error:
        raise FoldstackError(
            f"The weights in {Path(path).name} do not fit {spec['architecture']!r} ({error}); correct pretrained."
        ) from error
    head = set(map(id, head_of(classifier).parameters()))
    for name, value in classifier.architecture.named_parameters():
        # timm passes over what it finds no place for; such a part is as it was drawn.
        if id(value) not in head and len(fresh[name].unique()) > 1 and torch.equal(fresh[name], network[name]):
            raise FoldstackError(
                f"The weights in {Path(path).name} do not fit {spec['architecture']!r}: they hold no {name}; correct "
                "pretrained."
            )
    classifier.architecture.load_state_dict(network)


def _drawn(spec: dict, options: dict) -> dict[str, torch.Tensor]:
    """State of a network that is built from the same random numbers each time."""
    shape = {"in_channels": spec["channels"], "n_classes": len(spec["classes"])}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = registry.build(spec["architecture"], **shape, image_size=tuple(spec["image_size"]), options=options)
    return built.state_dict()


def _load_own(classifier: Classifier, path) -> None:
    given = safetensors.torch.load_file(path)
    given = {name.removeprefix("architecture."): value for name, value in given.items() if name not in ("mean", "std")}
    own, head = classifier.architecture.state_dict(), set(map(id, head_of(classifier).parameters()))
    kept = {name for name, value in classifier.architecture.named_parameters() if id(value) in head}
    kept |= set(getattr(classifier.architecture, "of_these_classes", ()))
    for name in sorted((set(own) | set(given)) - kept):
        if name not in own or name not in given or own[name].shape != given[name].shape:
            raise FoldstackError(
                f"The weights in {Path(path).name} do not fit {classifier.spec['architecture']!r} with the options "
                f"{classifier.spec['options']}: {name} differs; correct pretrained."
            )
    with torch.no_grad():
        for name in set(own) - kept:
            own[name].copy_(given[name])
