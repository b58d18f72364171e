"""One ONNX file a model: the networks of all its folds and seeds, with their preprocessing, in one graph."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from foldstack.data.digest import PIXEL_FORMAT
from foldstack.errors import FoldstackError
from foldstack.export.agreement import SIZES, check_batches
from foldstack.export.session import OUTPUTS, input_shape, open_session, run_batches
from foldstack.files import atomic, read_json
from foldstack.folds.digest import check_versions
from foldstack.models.network import load_classifier
from foldstack.reruns.versions import versions
from foldstack.runs import beside

OPSET = 20  # read by onnxruntime >= 1.17
MAX_BYTES = 2**31 - 1  # what one protobuf file can hold

Run = tuple[int, int, Path]  # seed, fold, weights file


class FoldEnsemble(nn.Module):
    """Averages the softmax of `n_splits * n_seeds` networks that are ordered by fold, then by seed.

    `forward` takes uint8 images (B, H, W, C) or pairs (B, 2, H, W, C) and gives float32 probabilities: (B, classes),
    the mean over folds and seeds, and (B, n_splits, classes), the mean over seeds.
    """

    def __init__(self, networks: Sequence[nn.Module], n_splits: int):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.n_splits = n_splits

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        each = torch.stack([network(image).float().softmax(dim=-1) for network in self.networks], dim=1)
        folds = each.unflatten(1, (self.n_splits, -1)).mean(dim=2)
        return folds.mean(dim=1), folds


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


def export_model(runs: Sequence[Run], path, metadata: dict) -> dict:
    """Write all `runs` of one model as one ONNX file: input `image`, the outputs of `OUTPUTS`; repeatable to the byte.

    Args:
        runs: (seed, fold, weights file) in any order.
        metadata: `model`, `classes`, `task`, `image_size`, `channels`, `fit`, `data_digest`, `folds_digest`.

    Returns the metadata as stored under the key `foldstack`: with `seeds`, `n_splits` and `versions` added.
    Raises FoldstackError when runs are missing, the file would be too large, or the batch size is not free.
    """
    runs, seeds, n_splits = order_runs(runs)
    name = metadata["model"]
    size = sum(Path(weights).stat().st_size for _, _, weights in runs)
    if size > MAX_BYTES:
        raise FoldstackError(
            f"The {len(runs)} networks of model {name!r} hold {size / 1e9:.1f} GB, more than the 2 GB of an ONNX file; "
            "use fewer seeds or folds, a smaller architecture, or take the model out of the export."
        )
    metadata = metadata | {"seeds": seeds, "n_splits": n_splits, "versions": versions()}
    ensemble = FoldEnsemble([load_classifier(weights) for _, _, weights in runs], n_splits)
    proto = _to_onnx(ensemble, input_shape(metadata), name)
    onnx.helper.set_model_props(proto, {"foldstack": json.dumps(metadata, sort_keys=True, ensure_ascii=False)})
    data = proto.SerializeToString(deterministic=True)
    with atomic(path) as temporary:
        temporary.write_bytes(data)
        session, _ = open_session(temporary)
        images = np.random.default_rng(0).integers(0, 256, (max(SIZES), *input_shape(metadata)), dtype=np.uint8)
        check_batches(f"The export of model {name!r}", lambda batch: _outputs(session, batch), images)
    return metadata


def _to_onnx(ensemble: FoldEnsemble, shape: tuple[int, ...], name: str) -> onnx.ModelProto:
    """Trace first with torch.export, which refuses a fixed batch; torch.onnx.export alone would write one silently."""
    ensemble.eval().requires_grad_(False)
    example = torch.zeros((2, *shape), dtype=torch.uint8)
    try:
        program = torch.export.export(ensemble, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    except Exception as error:  # torch raises many kinds here, all with the same remedy
        raise FoldstackError(
            f"Model {name!r} cannot be traced for export with a free batch size ({str(error).splitlines()[0]}); "
            "its forward must not depend on the batch size or on values of the input."
        ) from error
    proto = to_proto(program, ["image"], list(OUTPUTS))
    _name_batch(proto, name)
    return proto


def to_proto(program: torch.export.ExportedProgram, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """A traced program as ONNX, without stack traces, which contain paths of this machine, and without value_info,
    which breaks later tools."""
    proto = torch.onnx.export(  # type: ignore[union-attr]  # None of the exporter before this one only
        program,
        input_names=inputs,
        output_names=outputs,
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    ).model_proto
    graph = proto.graph
    del graph.value_info[:]
    for item in (proto, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *proto.functions):
        item.doc_string = ""
        del item.metadata_props[:]
    return proto


def _name_batch(proto: onnx.ModelProto, name: str) -> None:
    """Call the free dimension `batch`; raises FoldstackError if it is not free."""
    for value in (*proto.graph.input, *proto.graph.output):
        dimension, *others = value.type.tensor_type.shape.dim
        if not dimension.dim_param or any(other.dim_param for other in others):
            raise FoldstackError(f"The export of model {name!r} has a fixed batch size in {value.name!r}.")
        dimension.dim_param = "batch"


def _outputs(session, images: np.ndarray) -> np.ndarray:
    """(n, 1 + n_splits, C): the mean, then each fold."""
    mean, folds = run_batches(session, images)
    return np.concatenate([mean[:, None], folds], axis=1)
