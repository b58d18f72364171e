"""A model before it is trained: can it be written as ONNX, and how large is it?

A network with fresh weights is traced, exported and compared with torch, as all of them will be at the end.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from foldstack.data.digest import PIXEL_FORMAT
from foldstack.errors import FoldstackError
from foldstack.export import agreement
from foldstack.export.model import export_model
from foldstack.export.session import input_shape, open_session, run_batches
from foldstack.export.trace import OPSET, Trace
from foldstack.export.tracing import trace
from foldstack.models.flops import count_flops
from foldstack.models.network import Classifier, save_classifier, spec_of
from foldstack.models.registry import FROM_FILES

IMAGES = 4


def trace_model(model: str, config: dict, dataset: dict) -> tuple[Trace, dict]:
    """Trace a network of a model with fresh weights, and measure it.

    Args:
        config: `architecture`, `options`, `image_size`, `tta`, `temperature` and `gradient_checkpointing` of the model.
        dataset: dataset.json.

    Returns the trace and its record, export/traces/{model}.json.
    Raises FoldstackError where the network cannot be built, or not be written as ONNX.
    """
    torch.manual_seed(0)
    options = {key: value for key, value in config["options"].items() if key not in FROM_FILES}
    spec = spec_of(config | {"options": options}, dataset)
    network = Classifier(spec | ({"temperature": 1.0} if config["temperature"] else {}))
    if config["gradient_checkpointing"]:
        network.architecture.set_grad_checkpointing()
    shape = input_shape(dataset)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, *shape), dtype=np.uint8)
    pixels = torch.from_numpy(images)
    record = {
        "model": model,
        "architecture": config["architecture"],
        "image_size": spec["image_size"],
        "store_size": spec["store_size"],
        "channels": spec["channels"],
        "classes": len(spec["classes"]),
        "parameters": sum(value.numel() for value in network.parameters()),
        "trained_parameters": sum(value.numel() for value in network.parameters() if value.requires_grad),
        "state_bytes": sum(value.numel() * value.element_size() for value in network.state_dict().values()),
        "activation_bytes_per_sample": activation_bytes(network, pixels[:2]) // 2,
        "flops": count_flops(network, pixels[:1]),
    }
    network.eval()
    with torch.inference_mode():
        expected = network(pixels).double().softmax(-1).numpy()
    with tempfile.TemporaryDirectory() as folder:
        weights, file = Path(folder, "weights.safetensors"), Path(folder, "network.onnx")
        save_classifier(network, weights)
        started = time.monotonic()
        traced = trace(network, model)
        record["seconds"] = round(time.monotonic() - started, 2)
        described = {key: dataset[key] for key in ("classes", *PIXEL_FORMAT)}
        described |= {"model": model, "data_digest": "", "folds_digest": ""}
        export_model([(0, 0, weights)], file, described, [traced])
        found, _ = run_batches(open_session(file)[0], images)
    difference = agreement.difference(found, expected)
    if not difference <= agreement.BATCH_TOLERANCE:
        raise FoldstackError(
            f"Model {model!r} ({config['architecture']}) computes something else as ONNX than in torch: its "
            f"probabilities differ by up to {difference:.2g}; choose another architecture or other options for it."
        )
    record |= {"opset": OPSET, "structure": traced.digest, "max_abs_difference": difference}
    record |= {"network_bytes": traced.nbytes, "graph_bytes": traced.proto.ByteSize()}
    return traced, record


def activation_bytes(network: Classifier, pixels: torch.Tensor) -> int:
    """Bytes that a training step on uint8 pixels (N, ...) keeps for its backward pass, in float32, less the weights."""
    network.train()
    images = network.to_float(pixels)
    held = {value.untyped_storage().data_ptr() for value in (*network.parameters(), *network.buffers(), images)}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network.classify(images)
    del logits
    return sum(kept.values())
