"""From a network to its `Trace`: PyTorch's own exporter, made to leave the weights out."""

import torch
from onnx import ModelProto
from onnxscript import ir
from onnxscript.optimizer import optimize_ir
from torch import nn

from foldstack.errors import FoldstackError
from foldstack.export.session import input_shape
from foldstack.export.trace import IMAGE, OPSET, PROBABILITIES, TEMPERATURE, Trace, sha256, structure_of
from foldstack.models.network import Classifier

LETTERS = 200  # of torch's reasons, which may be pages


class _Probabilities(nn.Module):
    """uint8 (B, ...) to float32 (B, classes); the temperature, in which folds differ, as a tensor."""

    def __init__(self, network: Classifier):
        super().__init__()
        self.network, spec = network, dict(network.spec)
        divisor = torch.tensor(float(spec[TEMPERATURE])) if TEMPERATURE in spec else None
        self.register_buffer(TEMPERATURE, divisor)
        network.spec = {key: value for key, value in spec.items() if key != TEMPERATURE}

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits = self.network(image).float()
        return (logits if self.temperature is None else logits / self.temperature).softmax(dim=-1)


def trace(network: Classifier, name: str) -> Trace:
    """Trace a network, which is not to be used afterwards.

    Args:
        name: of the model, for messages.

    Raises:
        FoldstackError: torch cannot write it as ONNX, or its forward fixes the batch size.
    """
    spec = network.spec
    module = _Probabilities(network).eval().requires_grad_(False)
    unfuse_attention(module)
    shape = input_shape({**spec, "image_size": spec["store_size"]})
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    # torch.export refuses a fixed batch; torch.onnx.export alone would write one silently.
    free = ({0: torch.export.Dim("batch", min=1)},)
    try:
        program = torch.export.export(module, (example,), dynamic_shapes=free)
    except Exception as error:  # torch raises many kinds here
        raise FoldstackError(
            f"Model {name!r} ({spec['architecture']}) cannot be traced for export with a free batch size "
            f"({reason(error)}); its forward must not depend on the batch size or on values of the input."
        ) from error
    state = {key.removeprefix("network."): value for key, value in module.state_dict().items()}
    try:
        proto, constants = to_graph(program, [IMAGE], [PROBABILITIES], state)
    except Exception as error:  # and here
        raise FoldstackError(
            f"Model {name!r} ({spec['architecture']}) cannot be written as ONNX ({reason(error)}); "
            "choose another architecture or other options for it."
        ) from error
    _name_batch(proto, name)
    return Trace(proto, structure_of(spec), constants)


def unfuse_attention(module: nn.Module) -> None:
    """Have timm's attention compute step by step: PyTorch's fused operator has no ONNX form for five dimensions."""
    for part in module.modules():
        if getattr(part, "fused_attn", None) is True:
            part.fused_attn = False  # type: ignore[assignment]  # the stubs know tensors and modules only


def to_graph(
    program: torch.export.ExportedProgram, inputs: list[str], outputs: list[str], state: dict[str, torch.Tensor]
) -> tuple[ModelProto, dict[str, str]]:
    """A traced program as ONNX, whose weights are further inputs, and the SHA-256 of other tensors of the module.

    Args:
        state: the weights by name. Names of the program's may have `network.` before them.
    """
    written = torch.onnx.export(
        program,
        input_names=inputs,
        output_names=outputs,
        opset_version=OPSET,
        external_data=False,
        verbose=False,
        optimize=False,
    )
    model = written.model  # type: ignore[union-attr]  # None of the exporter before this one only
    _make_inputs(model, state)
    # What is left are tensors of the module; torch's own, scalars and small lists, are nodes until they are optimized.
    held = {name.removeprefix("network."): value.const_value for name, value in model.graph.initializers.items()}
    constants = {name: sha256(tensor) for name, tensor in held.items()}
    optimize_ir(model)  # only now, when no constant can be made of weights
    proto = ir.to_proto(model)
    # Without stack traces, which contain paths of this machine, and without value_info, which breaks later tools.
    graph = proto.graph
    del graph.value_info[:]
    for item in (proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    return proto, constants


def _make_inputs(model: ir.Model, state: dict[str, torch.Tensor]) -> None:
    """Make inputs, under the names of `state`, of the initializers that are its tensors; the rest stays."""
    graph = model.graph
    for full in list(graph.initializers):
        name, value = full.removeprefix("network."), graph.initializers[full]
        if name not in state or not _equal(value.const_value, state[name]):
            continue
        del graph.initializers[full]
        if value.uses():
            value.const_value, value.name = None, name
            graph.inputs.append(value)


def _equal(tensor, other: torch.Tensor) -> bool:
    return tensor.numpy().tobytes() == other.contiguous().numpy().tobytes()


def reason(error: BaseException) -> str:
    """The first line of what torch found first; its own messages are pages about where."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0][:LETTERS].rstrip(".")


def _name_batch(proto: ModelProto, name: str) -> None:
    """Call the free dimension `batch`; raises FoldstackError if it is not free."""
    for value in (proto.graph.input[0], proto.graph.output[0]):
        dimension, *others = value.type.tensor_type.shape.dim
        if not dimension.dim_param or any(other.dim_param for other in others):
            raise FoldstackError(f"The export of model {name!r} has a fixed batch size in {value.name!r}.")
        dimension.dim_param = "batch"
