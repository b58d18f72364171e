"""Put fetched weights into a fresh network, the parts that depend on the data set aside."""

from pathlib import Path

import safetensors.torch
import torch

from foldstack.errors import FoldstackError
from foldstack.models import registry
from foldstack.network import Classifier
from foldstack.steps import head_of


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
    options = spec["options"] | {"pretrained": True, "pretrained_cfg_overlay": overlay}
    shape = {"in_channels": spec["channels"], "n_classes": len(spec["classes"])}
    try:
        network = registry.build(
            spec["architecture"], **shape, image_size=tuple(spec["image_size"]), options=options
        ).state_dict()
    except (FoldstackError, KeyError, RuntimeError) as error:
        raise FoldstackError(
            f"The weights in {Path(path).name} do not fit {spec['architecture']!r} ({error}); correct pretrained."
        ) from error
    classifier.architecture.load_state_dict(network)


def _load_own(classifier: Classifier, path) -> None:
    given = safetensors.torch.load_file(path)
    given = {name.removeprefix("architecture."): value for name, value in given.items() if name not in ("mean", "std")}
    own, head = classifier.architecture.state_dict(), set(map(id, head_of(classifier).parameters()))
    of_head = {name for name, value in classifier.architecture.named_parameters() if id(value) in head}
    for name in sorted((set(own) | set(given)) - of_head):
        if name not in own or name not in given or own[name].shape != given[name].shape:
            raise FoldstackError(
                f"The weights in {Path(path).name} do not fit {classifier.spec['architecture']!r} with the options "
                f"{classifier.spec['options']}: {name} differs; correct pretrained."
            )
    with torch.no_grad():
        for name in set(own) - of_head:
            own[name].copy_(given[name])
