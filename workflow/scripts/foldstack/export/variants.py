"""Smaller and faster forms of export/ensemble.onnx; none is exact, so each goes through `variant_gate`.

- fp16: weights are stored as 16-bit floats and cast back when the file is opened: half the size, the same speed.
- int8: 8-bit weights and arithmetic. Convolutional networks are calibrated on training samples (unsigned activations,
  which processors are quick with); in networks that mostly multiply matrices each batch sets its own ranges.
- pruned: the networks of fewer models, chosen out of fold, under a stacker of their own.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper

from foldstack.ensemble.members import Members
from foldstack.ensemble.stacking import fit_stack
from foldstack.errors import FoldstackError
from foldstack.evaluation.contribution import smallest
from foldstack.export.ensemble import export_ensemble, write_ensemble
from foldstack.export.session import read_metadata
from foldstack.export.tensors import Tensors, header_of, of_onnx
from foldstack.files import sha256_of

SMALLEST = 256  # numbers; below it, what fp16 saves is not worth a node
FP16_LARGEST = 65504
CALIBRATION = 256  # training samples
CALIBRATION_BATCH = 32
LARGEST = 2**31 - 2**24  # bytes of a model that can be quantized: the tools hold it in one protobuf
QUANTIZED = ("Conv", "Gemm", "MatMul")
FROM_FULL = ("architectures", "licence", "config_digest", "code_digest")


def write_fp16(full, path) -> dict:
    """Write the ensemble with its large float32 constants as float16; returns the metadata."""
    proto, tensors = of_onnx(full)
    halved = [h.data_type == TensorProto.FLOAT and np.prod(h.dims) >= SMALLEST for h in tensors.headers]
    fits = [
        half and np.abs(np.frombuffer(data, np.float32)).max() <= FP16_LARGEST
        for half, data in zip(halved, tensors.stream(), strict=True)
    ]
    headers = [
        header_of(f"{h.name}_fp16", TensorProto.FLOAT16, h.dims) if half else h
        for h, half in zip(tensors.headers, fits, strict=True)
    ]

    def stream() -> Iterator[bytes]:
        for data, half in zip(tensors.stream(), fits, strict=True):
            yield np.frombuffer(data, np.float32).astype(np.float16).tobytes() if half else data

    names = [header.name for header, half in zip(tensors.headers, fits, strict=True) if half]
    casts = [helper.make_node("Cast", [f"{name}_fp16"], [name], to=TensorProto.FLOAT) for name in names]
    nodes = [*casts, *map(NodeProto.FromString, (node.SerializeToString() for node in proto.graph.node))]
    proto.graph.ClearField("node")
    proto.graph.node.extend(nodes)
    return write_ensemble(proto, Tensors(headers, stream), _of_full(full, "fp16"), path)


def write_int8(full, onnx_paths: Sequence, booster, stack: dict, dataset: dict, pixels: np.ndarray, path) -> dict:
    """Write the ensemble made of quantized networks; returns the metadata.

    Args:
        full: export/ensemble.onnx.
        onnx_paths, booster, stack, dataset: as for `export_ensemble`.
        pixels: uint8 stored pixels of training samples, to calibrate on.
    """
    described = _of_full(full, "int8")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / Path(source).name for source in onnx_paths]
        for source, target in zip(onnx_paths, paths, strict=True):
            _quantize(source, target, pixels)
        return export_ensemble(paths, booster, stack, dataset, _described(described), path)


def write_pruned(
    full, onnx_paths: Sequence, members: Members, keep: Sequence[str], stack: dict, config: dict, dataset: dict, path
) -> dict:
    """Write the ensemble of the models `keep` with a stacker fitted on their OOF rows; returns the metadata.

    Args:
        stack: stack.json of the full ensemble.
        config: the block `stack` of the config.
    """
    kept = [model for model in members.models if model in keep]
    oof = members.seed_averaged_oof().of([members.models.index(model) for model in kept])
    spec, booster = fit_stack(oof, members.labels, members.folds, kept, members.classes, config)
    spec |= {key: stack[key] for key in ("n_splits", "data_digest", "folds_digest", "left_out")}
    paths = [source for source in onnx_paths if read_metadata(source)["model"] in kept]
    described = _described(_of_full(full, "pruned"))
    described["architectures"] = {model: described["architectures"][model] for model in kept}
    return export_ensemble(paths, booster, spec, dataset, described, path)


def choose_models(metrics: dict, budget: str, share: float | None) -> list[str]:
    """The models to keep, by the out-of-fold scores of their plain mean (metrics.json, `subsets`).

    With `share`, the most accurate set that costs no more than this share of all models' `budget` (`parameters` or
    `flops`), or the cheapest where none is that cheap; without, the cheapest within noise of all models.
    """
    rows = [row for row in metrics["subsets"] if row[budget] is not None]
    everything = max(metrics["subsets"], key=lambda row: len(row["models"]))
    if not rows:
        return everything["models"]
    if share is None:
        return (smallest(rows, budget) or everything)["models"]
    fit = [row for row in rows if row[budget] <= share * everything[budget]]
    if not fit:
        return min(rows, key=lambda row: row[budget])["models"]
    return max(fit, key=lambda row: (row["accuracy"], -row["log_loss"]))["models"]


def _of_full(full, kind: str) -> dict:
    """The full file's metadata, less its scores, which are not the variant's."""
    described = {"scores": {}, "variant": {"kind": kind, "made_of": sha256_of(full)}}
    return read_metadata(full) | described


def _described(metadata: dict) -> dict:
    return {key: metadata[key] for key in (*FROM_FULL, "scores", "variant")}


def _quantize(source, target, pixels: np.ndarray) -> None:
    """One model's file to 8 bits, its metadata kept."""
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Samples(CalibrationDataReader):
        def __init__(self):
            starts = range(0, len(pixels), CALIBRATION_BATCH)
            self.batches = iter([{"image": pixels[start : start + CALIBRATION_BATCH]} for start in starts])

        def get_next(self):
            return next(self.batches, None)

    common = {"per_channel": True, "reduce_range": True, "weight_type": QuantType.QInt8}
    proto, tensors = of_onnx(source)
    if tensors.nbytes > LARGEST:
        raise FoldstackError(
            f"{source} is too large for the tools that quantize it ({tensors.nbytes / 1e9:.1f} GB, of at most "
            f"{LARGEST / 1e9:.1f}); take int8 out of variants.kinds: fp16 has no such limit."
        )
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "model.onnx"
        _fuse(source, whole)
        if is_convolutional(proto, tensors):
            own = {"op_types_to_quantize": list(QUANTIZED), "activation_type": QuantType.QUInt8}
            quantize_static(whole, target, Samples(), **own, **common)
        else:
            own = {
                "op_types_to_quantize": ["Gemm", "MatMul"],
                "extra_options": {"DefaultTensorType": TensorProto.FLOAT},
            }
            quantize_dynamic(whole, target, **own, **common)
    quantized = onnx.load(target)
    helper.set_model_props(
        quantized, {"foldstack": json.dumps(read_metadata(source), sort_keys=True, ensure_ascii=False)}
    )
    onnx.save(quantized, target)


def _fuse(source, target: Path) -> None:
    """As one file in which normalisations are part of their convolutions and no weight is transposed at run time."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def is_convolutional(proto: ModelProto, tensors: Tensors) -> bool:
    """Do most weights belong to convolutions?"""
    sizes = {each.name: int(np.prod(each.dims)) for each in (*tensors.headers, *proto.graph.initializer)}
    through = {node.output[0]: node.input[0] for node in proto.graph.node if node.op_type in ("Transpose", "Reshape")}
    count = dict.fromkeys(QUANTIZED, 0)
    for node in proto.graph.node:
        if node.op_type in count:
            count[node.op_type] += sum(sizes.get(through.get(name, name), 0) for name in node.input[:2])
    return count["Conv"] > count["Gemm"] + count["MatMul"]
