"""A network with its preprocessing: stored pixels in, logits out, so that training, export and prediction agree."""

import json
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import nn

from foldstack.errors import FoldstackError
from foldstack.files import atomic
from foldstack.models import registry
from foldstack.models.views import views

SPEC_KEYS = {"architecture", "options", "image_size", "store_size", "channels", "task", "classes"}
MORE_KEYS = {"tta", "temperature"}


class Classifier(nn.Module):
    """Resize, scale, normalise, then the architecture; for predictions, test-time augmentation and a temperature.

    Args:
        spec: `architecture`, `options`, `image_size` [H, W] that the architecture sees, `store_size` [H, W] of the
            stored pixels, `channels`, `task` ("images" or "pairs") and `classes` (names, in order). Where they are
            used, `tta` (kinds of views.py, over which logits are averaged) and `temperature` (their divisor).

    `forward` maps uint8 (N, H, W, C), or (N, 2, H, W, C) for pairs, to logits (N, classes). Training calls `to_float`,
    augments, and calls `classify`, which uses neither views nor temperature. The buffers `mean` and `std` (C,) belong
    to values in 0..1: those of the weights that training starts from, where they are known (initial_weights.py), else
    of the training images (`set_statistics`).
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, spec: dict):
        super().__init__()
        if set(spec) - MORE_KEYS != SPEC_KEYS:
            raise ValueError(f"spec has the keys {sorted(spec)}, expected {sorted(SPEC_KEYS)}")
        if registry.task_of(spec["architecture"]) != spec["task"]:
            raise FoldstackError(
                f"The architecture {spec['architecture']!r} is for {registry.task_of(spec['architecture'])}, "
                f"but the data set holds {spec['task']}; choose another architecture."
            )
        self.spec = spec
        self.architecture = registry.build(
            spec["architecture"],
            in_channels=spec["channels"],
            n_classes=len(spec["classes"]),
            image_size=tuple(spec["image_size"]),
            options=spec["options"],
        )
        self.register_buffer("mean", torch.zeros(spec["channels"]))
        self.register_buffer("std", torch.ones(spec["channels"]))

    def set_statistics(self, pixels: torch.Tensor) -> None:
        """Set mean and std (at least 1/255) from uint8 (..., C), a sample of the training images only."""
        values = pixels.reshape(-1, pixels.shape[-1]).double() / 255
        self.mean.copy_(values.mean(dim=0))
        self.std.copy_(values.std(dim=0, correction=0).clamp(min=1 / 255))

    def to_float(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, C) or (N, 2, H, W, C) to float32 in 0..1, (N, C, h, w) or (N, 2, C, h, w), resized."""
        pairs = pixels.dim() == 5
        images = (pixels.flatten(0, 1) if pairs else pixels).permute(0, 3, 1, 2).float() / 255
        size, stored = tuple(self.spec["image_size"]), tuple(self.spec["store_size"])
        if size != stored:
            shrinks = size[0] < stored[0] or size[1] < stored[1]
            images = F.interpolate(images, size=size, mode="bilinear", antialias=shrinks, align_corners=False)
        return images.unflatten(0, (-1, 2)) if pairs else images

    def classify(self, images: torch.Tensor, *captions: torch.Tensor) -> torch.Tensor:
        """Float32 in 0..1, (N, C, h, w) or (N, 2, C, h, w), to logits (N, classes), or of captions: models/clip.py."""
        return self.architecture(self.normalised(images), *captions)

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """The architecture's input for images in 0..1."""
        return (images - self.mean[:, None, None]) / self.std[:, None, None]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        images = self.to_float(pixels)
        if self.spec.get("tta"):
            # Swapping the images swaps the two classes.
            seen = [(self.classify(view), swapped) for view, swapped in views(images, self.spec["tta"])]
            logits = torch.stack([each.flip(1) if swapped else each for each, swapped in seen]).mean(dim=0)
        else:
            logits = self.classify(images)
        return logits / self.spec["temperature"] if "temperature" in self.spec else logits


def spec_of(config: dict, info: dict) -> dict:
    """The spec of a `Classifier` that a model's resolved config and dataset.json ask for."""
    size = config["image_size"] or info["image_size"]
    spec = {
        "architecture": config["architecture"],
        "options": config["options"],
        "image_size": [size, size] if isinstance(size, int) else list(size),
        "store_size": list(info["image_size"]),
        "channels": info["channels"],
        "task": info["task"],
        "classes": list(info["classes"]),
    }
    return spec | ({"tta": config["tta"]} if config["tta"] else {})


def save_classifier(classifier: Classifier, path) -> None:
    """Write a safetensors file: parameters and buffers, and the spec as JSON under the metadata key `spec`."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in classifier.state_dict().items()}
    with atomic(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, {"spec": json.dumps(classifier.spec, sort_keys=True)})


def load_classifier(path) -> Classifier:
    """Read what `save_classifier` wrote: a Classifier on the CPU, in evaluation mode.

    Raises:
        FoldstackError: where the file is missing, broken or of another architecture.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            spec = json.loads(file.metadata()["spec"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        # Weights come from this file, so nothing must be downloaded to build the network around them.
        options = {key: value for key, value in spec["options"].items() if key not in registry.FROM_FILES}
        classifier = Classifier({**spec, "options": options})
        classifier.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FoldstackError(f"{path} holds no usable weights ({error}); delete it and run again.") from error
    classifier.spec = spec
    return classifier.eval()


def head_of(classifier: Classifier) -> nn.Module:
    """The last layer: what timm calls the classifier of a model, else its last linear layer."""
    network = classifier.architecture
    if hasattr(network, "get_classifier"):
        return network.get_classifier()
    return last_linear(network)


def last_linear(network: nn.Module) -> nn.Linear:
    """The linear layer that was defined last."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
