"""One ONNX file a model: the networks of all its folds and seeds, with their preprocessing, in one graph.

One network is traced; the others are its graph with other weights. What depends on no weight, such as the resizing of
images, is in the graph once.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, parser

from foldstack.data.digest import PIXEL_FORMAT
from foldstack.errors import FoldstackError
from foldstack.export.agreement import SIZES, check_batches
from foldstack.export.graphs import renamed, split
from foldstack.export.onnx_file import write_model
from foldstack.export.session import input_shape, open_session, run_batches
from foldstack.export.tensors import Tensors, joined, prefixed
from foldstack.export.trace import IMAGE, PROBABILITIES, Trace
from foldstack.files import read_json
from foldstack.folds.digest import check_versions
from foldstack.reruns.versions import versions
from foldstack.runs import beside

IR_VERSION = 10

Run = tuple[int, int, Path]  # seed, fold, weights file


def read_runs(run_files: Sequence[str], model: str, dataset: dict, today: dict) -> tuple[list[Run], dict]:
    """The runs of one model from their run.json files, beside which the weights lie, and the metadata to export.

    Args:
        dataset: dataset.json.
        today: `data_digest` and `folds_digest` that all must be of.

    Raises:
        FoldstackError: a run did not complete, or is of another model, data or folds.
    """
    records = {Path(path): read_json(path) for path in run_files}
    for path, record in records.items():
        for key, value in {"model": model, "status": "completed"}.items():
            if record[key] != value:
                raise FoldstackError(
                    f"{path}: {key} is {record[key]!r}, expected {value!r}; delete that folder and run again."
                )
        check_versions(record, path, today)
    runs = [(record["seed"], record["fold"], beside(path, "weights")) for path, record in records.items()]
    metadata = {key: dataset[key] for key in ("classes", *PIXEL_FORMAT)}
    return runs, metadata | {"model": model} | {key: today[key] for key in ("data_digest", "folds_digest")}


def order_runs(runs: Sequence[Run]) -> tuple[list[Run], list[int], int]:
    """Order runs by fold, then seed; returns them with the seeds and n_splits.

    Raises FoldstackError unless every seed has each fold 0..n_splits-1 exactly once.
    """
    ordered = sorted(runs, key=lambda run: (run[1], run[0]))
    seeds, folds = sorted({seed for seed, _, _ in runs}), sorted({fold for _, fold, _ in runs})
    wanted = [(seed, fold) for fold in range(len(folds)) for seed in seeds]
    found = [(seed, fold) for seed, fold, _ in ordered]
    if not runs or found != wanted:
        raise FoldstackError(
            f"An ensemble needs one run for each seed and fold, but the runs (seed, fold) are {found}; "
            "train the missing ones first."
        )
    return ordered, seeds, len(folds)


def export_model(runs: Sequence[Run], path, metadata: dict, traced: Sequence[Trace] = ()) -> dict:
    """Write all `runs` of one model as one ONNX file: input `image`, the outputs of `OUTPUTS`; repeatable to the byte.

    Args:
        runs: (seed, fold, weights file) in any order.
        metadata: `model`, `classes`, `task`, `image_size`, `channels`, `fit`, `data_digest`, `folds_digest`.
        traced: graphs that were made before; a network that fits none is traced here.

    Returns the metadata as stored under the key `foldstack`: with `seeds`, `n_splits` and `versions` added, and `data`
    where the weights are in a file beside (onnx_file.py).
    Raises FoldstackError when runs are missing, cannot be written as ONNX, or the batch size is not free.
    """
    runs, seeds, n_splits = order_runs(runs)
    name = metadata["model"]
    metadata = metadata | {"seeds": seeds, "n_splits": n_splits, "versions": versions()}
    known, parts = list(traced), []
    for _, _, weights in runs:
        parts.append((_trace_of(weights, known, name), weights))
    with tempfile.TemporaryDirectory() as folder:
        for trace, weights in {trace.digest: (trace, weights) for trace, weights in reversed(parts)}.values():
            _check_batches(Path(folder) / f"{trace.digest}.onnx", trace, weights, metadata)
    return write_model(*_networks(parts, n_splits, input_shape(metadata)), path, lambda _: metadata)


def _check_batches(file: Path, trace: Trace, weights: Path, metadata: dict) -> None:
    """Does a row depend on its batch? Of one network; the graph decides it, not the weights."""
    shape = input_shape(metadata)
    write_model(*_networks([(trace, weights)], 1, shape), file, lambda _: metadata)
    session, _ = open_session(file)
    images = np.random.default_rng(0).integers(0, 256, (max(SIZES), *shape), dtype=np.uint8)
    check_batches(f"The export of model {metadata['model']!r}", lambda batch: run_batches(session, batch)[0], images)


def _networks(parts: Sequence[tuple[Trace, Path]], n_splits: int, shape: tuple) -> tuple[ModelProto, Tensors]:
    """The graph of some networks, given by their traces and weights files, and their weights."""
    tensors = [prefixed(trace.weights_in(weights), f"network{i}_") for i, (trace, weights) in enumerate(parts)]
    return _compose([trace for trace, _ in parts], n_splits, shape), joined(tensors)


def _trace_of(weights: Path, known: list[Trace], name: str) -> Trace:
    """The first of `known` that fits the weights; where none does, a new one, which is added."""
    for trace in known:
        if trace.fits(weights):
            return trace
    from foldstack.export import tracing  # imports torch, which is not needed where all were traced before
    from foldstack.models.network import load_classifier

    known.append(tracing.trace(load_classifier(weights), name))
    return known[-1]


def _compose(traces: Sequence[Trace], n_splits: int, shape: tuple[int, ...]) -> ModelProto:
    """One graph of all networks, which are ordered by fold, then by seed; their weights are still missing.

    Probabilities are averaged over seeds, then over folds. `shape` is that of one sample.
    """
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    opsets: dict[str, int] = {}
    copies: dict[str, Callable[[int], list[NodeProto]]] = {}
    for number, trace in enumerate(traces):
        if trace.digest not in copies:
            once, held, copies[trace.digest] = _parts(trace, f"graph{len(copies)}_")
            nodes, constants = nodes + once, constants + held
            opsets |= {opset.domain: opset.version for opset in trace.proto.opset_import}
        nodes += copies[trace.digest](number)
    average = _average(len(traces), n_splits, traces[0].spec["classes"], shape)
    graph = helper.make_graph([*nodes, *average.node], "networks", average.input, average.output, constants)
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="foldstack")


def _parts(trace: Trace, prefix: str) -> tuple[list[NodeProto], list[TensorProto], Callable[[int], list[NodeProto]]]:
    """What all networks of a trace share, nodes and constants, and a function from a network's number to its nodes."""
    graph = trace.proto.graph
    once, own = split(graph.node, set(trace.weights), {PROBABILITIES})
    shared = {name for node in once for name in node.output} | {tensor.name for tensor in graph.initializer}

    def of_network(number: int) -> list[NodeProto]:
        def named(name: str) -> str:
            return name if name == IMAGE else f"{prefix if name in shared else f'network{number}_'}{name}"

        return [renamed(node, named) for node in own]

    held = [numpy_helper.from_array(numpy_helper.to_array(t), prefix + t.name) for t in graph.initializer]
    return [renamed(node, lambda name: name if name == IMAGE else prefix + name) for node in once], held, of_network


def _average(n_networks: int, n_splits: int, n_classes: int, shape: tuple[int, ...]) -> GraphProto:
    """From `network<i>_probabilities` to the outputs."""
    networks = "\n".join(f"one{i} = Unsqueeze(network{i}_{PROBABILITIES}, axis_1)" for i in range(n_networks))
    return parser.parse_graph(f"""average (uint8[batch, {", ".join(map(str, shape))}] {IMAGE}) => (
        float[batch, {n_classes}] probabilities, float[batch, {n_splits}, {n_classes}] fold_probabilities
    ) {{
        axis_1 = Constant<value = int64[1] {{1}}>()
        axis_2 = Constant<value = int64[1] {{2}}>()
        {networks}
        networks = Concat<axis = 1>({", ".join(f"one{i}" for i in range(n_networks))})
        by_fold = Constant<value = int64[4] {{-1, {n_splits}, {n_networks // n_splits}, {n_classes}}}>()
        seeds = Reshape(networks, by_fold)
        fold_probabilities = ReduceMean<keepdims = 0>(seeds, axis_2)
        probabilities = ReduceMean<keepdims = 0>(fold_probabilities, axis_1)
    }}""")
