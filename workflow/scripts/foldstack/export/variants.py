"""Smaller and faster forms of export/ensemble.onnx; none is exact, so each goes through `variant_gate`.

- fp16: weights are stored as 16-bit floats and cast back when the file is opened: half the size, the same speed.
- int8: 8-bit weights and arithmetic. Convolutional networks are calibrated on training samples (unsigned activations,
  which processors are quick with); in networks that mostly multiply matrices each batch sets its own ranges.
- pruned: the networks of fewer models, chosen out of fold, under a stacker of their own.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from foldstack.ensemble.members import Members
from foldstack.ensemble.stacking import fit_stack
from foldstack.evaluation.contribution import smallest
from foldstack.export.ensemble import export_ensemble, write_ensemble
from foldstack.export.session import metadata_of
from foldstack.files import sha256_of

SMALLEST = 256  # numbers; below it, what fp16 saves is not worth a node
FP16_LARGEST = 65504
CALIBRATION = 256  # training samples
CALIBRATION_BATCH = 32
QUANTIZED = ("Conv", "Gemm", "MatMul")
FROM_FULL = ("architectures", "licence", "config_digest", "code_digest")


def write_fp16(full, path) -> dict:
    """Write the ensemble with its large float32 constants as float16; returns the metadata."""
    proto = onnx.load(full)
    casts, kept = [], []
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= SMALLEST and np.abs(values).max() <= FP16_LARGEST:
            kept.append(numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}_fp16"))
            casts.append(helper.make_node("Cast", [f"{tensor.name}_fp16"], [tensor.name], to=TensorProto.FLOAT))
        else:
            kept.append(tensor)
    _replace(proto.graph, "initializer", kept)
    _replace(proto.graph, "node", [*casts, *proto.graph.node])
    return write_ensemble(proto, _of_full(full, "fp16"), path)


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
    paths = [source for source in onnx_paths if metadata_of(onnx.load(source), source)["model"] in kept]
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


def _replace(graph, field: str, values: Sequence) -> None:
    """Put `values`, some of which may be of the graph itself, in the place of all that a field holds."""
    values = [type(value).FromString(value.SerializeToString()) for value in values]
    graph.ClearField(field)
    getattr(graph, field).extend(values)


def _of_full(full, kind: str) -> dict:
    """The full file's metadata, less its scores, which are not the variant's."""
    described = {"scores": {}, "variant": {"kind": kind, "made_of": sha256_of(full)}}
    return metadata_of(onnx.load(full), full) | described


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
    if is_convolutional(onnx.load(source)):
        own = {"op_types_to_quantize": list(QUANTIZED), "activation_type": QuantType.QUInt8}
        quantize_static(source, target, Samples(), **own, **common)
    else:
        own = {"op_types_to_quantize": ["Gemm", "MatMul"], "extra_options": {"DefaultTensorType": TensorProto.FLOAT}}
        quantize_dynamic(source, target, **own, **common)
    proto, metadata = onnx.load(target), metadata_of(onnx.load(source), source)
    helper.set_model_props(proto, {"foldstack": json.dumps(metadata, sort_keys=True, ensure_ascii=False)})
    onnx.save(proto, target)


def is_convolutional(proto: ModelProto) -> bool:
    """Do most weights belong to convolutions?"""
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in proto.graph.initializer}
    count = dict.fromkeys(QUANTIZED, 0)
    for node in proto.graph.node:
        if node.op_type in count:
            count[node.op_type] += sum(sizes.get(name, 0) for name in node.input[:2])
    return count["Conv"] > count["Gemm"] + count["MatMul"]
