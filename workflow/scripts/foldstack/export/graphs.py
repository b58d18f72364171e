"""Graphs put together from parts: which nodes depend on what, and new names for them."""

from collections.abc import Callable, Iterable

from onnx import GraphProto, NodeProto


def split(nodes: Iterable[NodeProto], from_names: set[str], always: set[str]) -> tuple[list, list]:
    """(nodes that depend on none of `from_names`, the rest), in order; what makes one of `always` is of the rest."""
    depends, once, own = set(from_names), [], []
    for node in nodes:
        if depends & reads(node) or always & set(node.output):
            own.append(node)
            depends |= set(node.output)
        else:
            once.append(node)
    return once, own


def reads(node: NodeProto) -> set[str]:
    """Names that a node reads, those of its subgraphs too, whether from it or from around it."""
    return {*node.input, *(name for graph in subgraphs(node) for inner in graph.node for name in reads(inner))}


def subgraphs(node: NodeProto) -> list[GraphProto]:
    return [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs) if graph.node]


def renamed(node: NodeProto, name: Callable[[str], str]) -> NodeProto:
    """A copy whose names, those of its subgraphs too, are replaced by `name` of them; "" stays."""
    copy = NodeProto()
    copy.CopyFrom(node)
    _rename(copy, lambda old: name(old) if old else old)
    return copy


def _rename(node: NodeProto, name: Callable[[str], str]) -> None:
    node.name = name(node.name)
    node.input[:] = [name(old) for old in node.input]
    node.output[:] = [name(old) for old in node.output]
    for graph in subgraphs(node):
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.name = name(value.name)
        for inner in graph.node:
            _rename(inner, name)
