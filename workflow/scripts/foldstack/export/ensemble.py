"""The whole ensemble as one ONNX file: images in, class probabilities out; a consumer needs onnxruntime alone.

Fit to the stored size, every network of every model, mean over seeds, meta-features, trees, softmax, mean over folds:
what `stacking.predict_folds` computes for the method of stack.json, made of the files of `export.model`.
"""

import base64
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from foldstack.data.digest import PIXEL_FORMAT
from foldstack.ensemble.stacking import BLENDS
from foldstack.errors import FoldstackError
from foldstack.export.graphs import renamed
from foldstack.export.model import IR_VERSION
from foldstack.export.onnx_file import write_model
from foldstack.export.resize import fit_graph
from foldstack.export.session import ENSEMBLE_OUTPUTS, input_shape, read_metadata, run_ensemble, session_of
from foldstack.export.stack_graph import stack_graph
from foldstack.export.tensors import Tensors, joined, of_onnx, prefixed
from foldstack.export.trace import IMAGE, OPSET
from foldstack.export.trees import OPSET as TREES_OPSET
from foldstack.files import digest_of
from foldstack.folds.digest import check_versions
from foldstack.reruns.versions import versions

FORMAT = 1
ONNXRUNTIME = "1.21"  # the first that computes TreeEnsemble
FROM_STACK = ("method", "form", "classes", "models", "floor", "n_splits", "data_digest", "folds_digest")
PROTOCOL = (
    "Each fold's networks were trained without that fold. The stacker was fitted on out-of-fold predictions, each by "
    "the networks of one fold, averaged over seeds. Here each fold's networks go through the stacker by themselves and "
    "the folds are averaged after it. Scores: oof is cross-fitted on the training samples, test is the held-out split."
)


def export_ensemble(onnx_paths: Sequence, booster, stack: dict, dataset: dict, described: dict, path) -> dict:
    """Write the file; equal input gives equal bytes.

    Args:
        onnx_paths: one file of `export_model` for each model of the stack, in any order.
        booster: the `lightgbm.Booster` of stacker.txt.
        stack, dataset: stack.json and dataset.json.
        described: more metadata, see `describe`; a `protocol` of its own replaces the usual one.

    Returns the metadata. Raises FoldstackError where the parts do not belong together, the file would be too large, or
    the stacker cannot be expressed in ONNX.
    """
    check_versions(
        stack, "stack.json", stack | {"data_digest": dataset["digest"]}
    )  # only the data must agree, not the folds
    metadata = (
        {"protocol": PROTOCOL}
        | {key: stack[key] for key in FROM_STACK}
        | {key: dataset[key] for key in PIXEL_FORMAT}
        | described
    )
    metadata |= {"reading": dataset["reading"]} if dataset.get("reading") else {}  # how unusual files are read
    metadata |= {"format": FORMAT, "onnxruntime": f">={ONNXRUNTIME}"}
    metadata |= {"input": _input_contract(metadata), "versions": versions(), "left_out": stack.get("left_out", [])}
    networks, tensors, metadata["seeds"] = _read_networks(onnx_paths, metadata)
    return write_ensemble(_compose(networks, booster, stack, metadata), tensors, metadata, path)


def write_ensemble(proto: ModelProto, tensors: Tensors, metadata: dict, path) -> dict:
    """Write a graph with its large tensors and its metadata; returns these, with golden samples added."""

    def finish(file: Path) -> dict:
        onnx.checker.check_model(str(file))
        return metadata | {"golden": _golden(file, metadata)}

    _check_free(proto)
    del proto.metadata_props[:]
    metadata = {key: value for key, value in metadata.items() if key != "data"}  # of what this file is made of
    return write_model(proto, tensors, path, finish)


def describe(records: Sequence[dict], stack: dict, metrics: dict, licence: str | None) -> dict:
    """What the file says about its origin: `scores` with intervals, and digests of its config and code.

    Args:
        records: the run.json of every run in the file.
        metrics: metrics.json.
        licence: what the config states, or None.
    """
    configs = {f"{run['model']} {run['seed']} {run['fold']}": run["config"] for run in records}
    code = sorted({run["code_digest"] for run in records})
    deployed = metrics["blend" if stack["method"] in BLENDS else "stack"][stack["method"]]
    scores = {part: deployed[part] for part in ("oof", "test") if deployed.get(part)}
    scores = {part: {key: value for key, value in figures.items() if isinstance(value, (int, float, type(None)))}
              for part, figures in scores.items()}  # fmt: skip
    return {
        "architectures": {run["model"]: run["config"]["architecture"] for run in records},
        "licence": licence,
        "config_digest": digest_of([configs, stack["method"], stack["lightgbm"], stack["floor"]]),
        "code_digest": digest_of(code),
        "scores": scores,
    }


def golden_images(metadata: dict) -> np.ndarray:
    """uint8 (2, ...) of the stored size: patterns, since a shared file should contain no real picture."""
    shape = input_shape(metadata)
    places = np.indices(shape[-3:]).astype(np.int64)
    factors = np.array([[3, 5, 70], [11, 2, 40]])
    images = [np.tensordot(factor, places, axes=1) * 16 % 256 for factor in factors]
    views = [np.stack([image, image[::-1]]) if len(shape) == 4 else image for image in images]
    return np.stack(views).astype(np.uint8)


def _golden(file: Path, metadata: dict) -> dict:
    images = golden_images(metadata)
    expected = run_ensemble(session_of(str(file)), images)["probabilities"]
    return {
        "shape": list(images.shape),
        "pixels": base64.b64encode(zlib.compress(images.tobytes(), 9)).decode(),
        "encoding": "base64 of zlib of uint8 in C order",
        "probabilities": np.round(expected.astype(np.float64), 7).tolist(),
        "tolerance": 1e-4,
    }


def _input_contract(metadata: dict) -> dict:
    views = "2, " if metadata["task"] == "pairs" else ""
    return {
        "name": "image",
        "dtype": "uint8",
        "shape": f"(batch, {views}height, width, {metadata['channels']})",
        "colour": "RGB" if metadata["channels"] == 3 else "grey",
        "size": "any; fitted to image_size inside, as `fit` says, by Pillow's bicubic arithmetic",
        "orientation": "EXIF applied before",
    }


def _read_networks(onnx_paths: Sequence, metadata: dict) -> tuple[list[ModelProto], Tensors, dict]:
    """The models' graphs in the order of `metadata["models"]`, their tensors under the names of `_compose`, and their
    seeds."""
    found = {}
    for path in onnx_paths:
        proto, tensors = of_onnx(path)
        own = read_metadata(path)
        for key in ("classes", "n_splits", "data_digest", "folds_digest", *PIXEL_FORMAT):
            if own[key] != metadata[key]:
                raise FoldstackError(
                    f"{path} and the stack are of different runs: {key} is {own[key]!r} in one and {metadata[key]!r} "
                    "in the other; delete both and run again."
                )
        found[own["model"]] = proto, tensors, own["seeds"]
    if len(found) != len(onnx_paths) or set(found) != set(metadata["models"]):
        raise FoldstackError(
            f"The ensemble needs one file of each of the models {metadata['models']}, but {len(onnx_paths)} files hold "
            f"{sorted(found)}; run the export of all models again."
        )
    ordered = [found[model] for model in metadata["models"]]
    tensors = joined(prefixed(own, f"model{i}_") for i, (_, own, _) in enumerate(ordered))
    return [proto for proto, _, _ in ordered], tensors, {model: found[model][2] for model in metadata["models"]}


def _compose(networks: list[ModelProto], booster, spec: dict, metadata: dict) -> ModelProto:
    """One graph: the fit, then each network's graph on its `pixels`, then the stack."""
    classes, n_splits = metadata["classes"], metadata["n_splits"]
    fit = fit_graph(metadata["image_size"], metadata["channels"], metadata["fit"], metadata["task"] == "pairs")
    nodes, initializers = list(fit.node), []
    for i, proto in enumerate(networks):
        nodes += [renamed(node, _named(f"model{i}_")) for node in proto.graph.node]
        held = ((tensor.name, numpy_helper.to_array(tensor)) for tensor in proto.graph.initializer)
        initializers += [numpy_helper.from_array(value, f"model{i}_{name}") for name, value in held]
    stack = stack_graph(len(networks), n_splits, len(classes), spec, booster)
    nodes += stack.node
    initializers += stack.initializer
    names = helper.make_tensor("class_names", onnx.TensorProto.STRING, [len(classes)], [c.encode() for c in classes])
    graph = helper.make_graph(nodes, "ensemble", fit.input, stack.output, [*initializers, names])
    domains = {opset.domain: opset.version for proto in networks for opset in proto.opset_import}
    domains |= {"": OPSET, "ai.onnx.ml": TREES_OPSET}
    used = {node.domain for node in nodes}
    opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(domains.items()) if domain in used]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="foldstack")


def _named(prefix: str) -> Callable[[str], str]:
    return lambda name: "pixels" if name == IMAGE else prefix + name


def _check_free(proto: ModelProto) -> None:
    """The batch dimension must have a name and no number; raises FoldstackError."""
    for value in (proto.graph.input[0], *[v for v in proto.graph.output if v.name != "classes"]):
        if value.type.tensor_type.shape.dim[0].dim_param != "batch":
            raise FoldstackError(f"The ensemble's {value.name!r} has a fixed batch size; do not deploy it.")
    if [value.name for value in proto.graph.output] != list(ENSEMBLE_OUTPUTS):
        raise FoldstackError("The ensemble's outputs are not those that are documented; do not deploy it.")
