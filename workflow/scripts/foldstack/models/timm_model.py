"""Any classification model of timm by its name."""

import timm
import torch

from foldstack.errors import FoldstackError

TASK = "images"


def build(architecture: str, *, in_channels: int, n_classes: int, image_size: tuple[int, int], options: dict):
    """timm's model with its head and its first layer fitted to the data.

    `image_size` is passed on to models that are made for one size (transformers, mostly); the others take any size.

    Raises:
        FoldstackError: where timm refuses the size or an option.
    """
    arguments = {"in_chans": in_channels, "num_classes": n_classes, **options}
    known = timm.models.get_pretrained_cfg(architecture)
    if known is not None and known.fixed_input_size:
        arguments.setdefault("img_size", image_size)
    try:
        network = timm.create_model(architecture, **arguments)
        with torch.no_grad():  # a size that does not fit shows here, not in the middle of a run
            network.eval()(torch.zeros(1, in_channels, *image_size))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        reason = str(error) or f"{type(error).__name__} without a word; the size may not fit"
        raise FoldstackError(
            f"timm cannot build {architecture!r} for images of {image_size[0]}x{image_size[1]} with the options "
            f"{options} ({reason}); change image_size or options of this model."
        ) from error
    return network.train()
