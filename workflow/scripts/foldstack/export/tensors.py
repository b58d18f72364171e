"""Large tensors on their way from one file to another, one at a time: never all in memory.

A graph is kept as a `ModelProto` without its large tensors, beside `Tensors`, which say what they are and give their
bytes when asked.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper
from safetensors import SafetensorError, safe_open

from foldstack.errors import FoldstackError

LARGE = 1024  # bytes; smaller tensors stay in the graph
TYPES = {
    "F64": TensorProto.DOUBLE, "F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16,
    "I64": TensorProto.INT64, "I32": TensorProto.INT32, "I16": TensorProto.INT16, "I8": TensorProto.INT8,
    "U8": TensorProto.UINT8, "BOOL": TensorProto.BOOL,
}  # fmt: skip


class Tensors(NamedTuple):
    """Tensors of one file.

    Attributes:
        headers: `TensorProto`s with name, type and dims, and no data.
        stream: gives their bytes (little-endian, C order), each in its turn.
    """

    headers: list[TensorProto]
    stream: Callable[[], Iterator[bytes]]

    @property
    def nbytes(self) -> int:
        return sum(map(nbytes, self.headers))


def nbytes(header: TensorProto) -> int:
    return int(np.prod(header.dims, dtype=np.int64)) * helper.tensor_dtype_to_np_dtype(header.data_type).itemsize


def header_of(name: str, data_type: int, dims: Iterable[int]) -> TensorProto:
    return TensorProto(name=name, data_type=data_type, dims=dims)


def prefixed(tensors: Tensors, prefix: str) -> Tensors:
    """The same under names with a prefix."""
    headers = [header_of(prefix + header.name, header.data_type, header.dims) for header in tensors.headers]
    return Tensors(headers, tensors.stream)


def joined(parts: Iterable[Tensors]) -> Tensors:
    parts = list(parts)
    return Tensors(
        [header for part in parts for header in part.headers],
        lambda: chain.from_iterable(part.stream() for part in parts),
    )


def described(path) -> tuple[dict[str, tuple[int, list[int]]], dict]:
    """{name: (ONNX element type, or 0, and shape)} of a run's weights file, and the spec of its network."""
    with _opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        shapes = {name: (int(TYPES.get(part.get_dtype(), 0)), list(part.get_shape())) for name, part in slices.items()}
        return shapes, json.loads(file.metadata()["spec"])


def of_weights(path, names: Iterable[str], more: dict[str, np.ndarray]) -> Tensors:
    """Tensors `names` of a run's weights file, then those of `more`."""
    names, (shapes, _) = list(names), described(path)

    def stream() -> Iterator[bytes]:
        with _opened(path) as file:
            for name in names:
                yield file.get_tensor(name).tobytes()
        yield from (value.tobytes() for value in more.values())

    headers = [header_of(name, *shapes[name]) for name in names]
    own = [header_of(k, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape) for k, value in more.items()]
    return Tensors([*headers, *own], stream)


def _opened(path):
    try:
        return safe_open(path, framework="np")
    except (OSError, SafetensorError) as error:
        raise FoldstackError(f"{path} holds no usable weights ({error}); delete it and run again.") from error


def of_onnx(path) -> tuple[ModelProto, Tensors]:
    """An ONNX file's graph without its large tensors, and these, whether they lie in the file or beside it."""
    proto = onnx.load(path, load_external_data=False)
    large = [i for i, tensor in enumerate(proto.graph.initializer) if _is_large(tensor)]
    headers = [header_of(t.name, t.data_type, t.dims) for t in map(proto.graph.initializer.__getitem__, large)]
    for i in reversed(large):
        del proto.graph.initializer[i]
    proto = ModelProto.FromString(proto.SerializeToString())  # the first keeps the memory of what was taken out

    def stream() -> Iterator[bytes]:
        for tensor in filter(_is_large, onnx.load(path, load_external_data=False).graph.initializer):
            yield _data(tensor, Path(path).parent) if tensor.external_data else tensor.raw_data

    return proto, Tensors(headers, stream)


def _data(tensor: TensorProto, folder: Path) -> bytes:
    place = {entry.key: entry.value for entry in tensor.external_data}
    with open(folder / place["location"], "rb") as file:
        file.seek(int(place["offset"]))
        return file.read(int(place["length"]))


def _is_large(tensor: TensorProto) -> bool:
    return bool(tensor.external_data) or len(tensor.raw_data) >= LARGE
