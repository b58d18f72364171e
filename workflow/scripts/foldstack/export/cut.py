"""Parts of an ONNX file as files of their own, to test them by themselves."""

import onnx
from onnx import ModelProto, helper

from foldstack.export.graphs import reads


def cut(proto: ModelProto, inputs: dict[str, tuple[int, list]], output: str) -> bytes:
    """The part of a file's graph that leads from `inputs` to `output`, as a file of its own.

    Args:
        inputs: {name: (element type, shape)}.
    """
    needed, nodes = {output}, []
    for node in reversed(proto.graph.node):
        if needed & set(node.output) and not set(node.output) & set(inputs):
            nodes.append(node)
            needed |= reads(node)
    graph = helper.make_graph(
        nodes[::-1],
        "part",
        [helper.make_tensor_value_info(name, *described) for name, described in inputs.items()],
        [onnx.ValueInfoProto(name=output)],
        [tensor for tensor in proto.graph.initializer if tensor.name in needed],
    )
    part = helper.make_model(
        graph, opset_imports=proto.opset_import, functions=proto.functions, ir_version=proto.ir_version
    )
    return part.SerializeToString()
