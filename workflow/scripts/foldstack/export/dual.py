"""A model's two halves as ONNX files: images to features, and texts to features in the same space.

The networks of all folds and seeds have spaces of their own. So the features are theirs side by side, scaled so that
the product of an image's and a text's features is the mean of the networks' cosines.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from foldstack.errors import FoldstackError
from foldstack.export import agreement
from foldstack.export.onnx_file import write_model
from foldstack.export.session import session_of
from foldstack.export.tensors import Tensors, header_of
from foldstack.export.trace import shape_of
from foldstack.export.tracing import reason, to_graph, unfuse_attention
from foldstack.files import read_json, write_json
from foldstack.models.network import Classifier, load_classifier
from foldstack.text.encoder import SETTINGS, TextEncoder, padded, read_encoder, tokens

TRIAL = ["a photo of a cat", "two words, and more of them than before"]


class ImageHalf(nn.Module):
    """uint8 (B, H, W, C) to float32 (B, networks * features), each row of length 1."""

    def __init__(self, networks: Sequence[Classifier]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        # The stubs know of the items of a ModuleList only that they are modules; likewise below.
        seen = [
            net.architecture.image_directions(net.normalised(net.to_float(image)))  # type: ignore[union-attr, operator]
            for net in self.networks
        ]
        return torch.cat(seen, dim=1) / len(seen) ** 0.5


class TextHalf(nn.Module):
    """Token ids and their mask, int64 (B, L), to float32 (B, networks * features), each row of length 1."""

    def __init__(self, encoder: TextEncoder, networks: Sequence[Classifier]):
        super().__init__()
        self.encoder, self.networks = encoder, nn.ModuleList(net.architecture for net in networks)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        vectors = self.encoder(input_ids, attention_mask)
        said = [net.text_directions(vectors) for net in self.networks]  # type: ignore[operator]
        return torch.cat(said, dim=1) / len(said) ** 0.5


def export_dual(weights: Sequence, encoder, folder, tolerance: float) -> None:
    """Write image.onnx, text.onnx, the tokenizer's files and dual.json to `folder`, once both agree with torch.

    Args:
        weights: files of the runs of one model, whose text encoder was frozen.
        encoder: its folder; see fetch.py.
        tolerance: largest difference of a feature.

    Raises:
        FoldstackError: the encoder was trained, or they do not agree.
    """
    networks, folder = [load_classifier(path) for path in weights], Path(folder)
    if any("encoder" in net.spec["options"] for net in networks):
        raise FoldstackError("The text encoder was trained with the images and is not stored; set text.train: frozen.")
    text = read_encoder(encoder)
    spec, longest = networks[0].spec, read_json(Path(encoder) / SETTINGS)["longest"]
    drawn = np.random.default_rng(0).integers(0, 256, (3, *spec["store_size"], spec["channels"]), dtype=np.uint8)
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1, max=longest)
    ids, mask = padded(tokens(encoder, TRIAL))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    differences = {
        "image": _export(ImageHalf(networks), {"image": torch.from_numpy(drawn)}, {0: batch}, folder, tolerance),
        "text": _export(
            TextHalf(text, networks),
            {"input_ids": ids, "attention_mask": mask},
            {0: batch, 1: length},
            folder,
            tolerance,
        ),
    }
    for path in Path(encoder).iterdir():
        if path.is_file() and path.suffix != ".safetensors" and path.name not in (SETTINGS, "config.json"):
            shutil.copyfile(path, folder / path.name)
    described = {key: spec[key] for key in ("classes", "channels", "store_size")}
    described |= {"networks": len(networks), "longest": longest, "max_abs_difference": differences}
    write_json(folder / "dual.json", described)


def _export(half: nn.Module, example: dict, free: dict, folder: Path, tolerance: float) -> float:
    """Write a half as ONNX with the dimensions of `free` dynamic; returns its largest difference from torch, at other
    sizes too."""
    half.eval().requires_grad_(False)
    unfuse_attention(half)
    path = folder / ("image.onnx" if "image" in example else "text.onnx")
    try:
        program = torch.export.export(half, tuple(example.values()), dynamic_shapes=(free,) * len(example))
    except Exception as error:  # torch raises many kinds here
        raise FoldstackError(
            f"{path.stem}: this half cannot be traced for export ({reason(error)}); take another tower or text encoder."
        ) from error
    state = half.state_dict()
    proto, _ = to_graph(program, list(example), ["features"], state)
    inputs = list(proto.graph.input)
    weights = [header_of(w.name, w.type.tensor_type.elem_type, shape_of(w)) for w in inputs[len(example) :]]
    del proto.graph.input[len(example) :]
    tensors = Tensors(weights, lambda: (state[header.name].contiguous().numpy().tobytes() for header in weights))
    write_model(proto, tensors, path, lambda _: {})
    session, worst = session_of(str(path)), 0.0
    for rows in (len(next(iter(example.values()))), 1):
        given = {name: value[-rows:] for name, value in example.items()}
        if "input_ids" in given and rows == 1:  # shorter, with a padded token less
            given = {name: value[:, :-1] for name, value in given.items()}
        with torch.inference_mode():
            expected = half(*given.values()).numpy()
        found = session.run(["features"], {name: value.numpy() for name, value in given.items()})[0]
        worst = max(worst, agreement.difference(found, expected))
    agreement.require(path, "torch", "features", worst, tolerance)
    return worst
