"""ONNX files on disk, of any size: written tensor by tensor, above 2 GB with the weights in a file beside them.

Protobuf, the format of an ONNX file, ends at 2 GB. Larger files keep their weights in `<name>.onnx.data` (ONNX's
"external data"), whose size and SHA-256 stand in the metadata of the .onnx, so that a missing or exchanged one is
noticed. Both are made in a folder beside, and moved together, the .onnx last.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from onnx import ModelProto, StringStringEntryProto, TensorProto

from foldstack.export.tensors import Tensors, nbytes
from foldstack.files import write_text
from foldstack.jobs.progress import steps

LIMIT = 2_000_000_000  # bytes of tensors; a protobuf ends at 2**31
WRITTEN = "writing weights"
PAGE = 4096  # where a tensor starts in the file beside, so that it can be mapped into memory
GRAPH, INITIALIZER, RAW_DATA = b"\x3a", b"\x2a", b"\x4a"  # tags of fields 7, 5 and 9: bytes of a length that follows


def write_model(proto: ModelProto, tensors: Tensors, path, finish: Callable[[Path], dict]) -> dict:
    """Write a graph with its large tensors and its metadata, or nothing where `finish` raises.

    Args:
        proto: the graph without `tensors`.
        finish: called with the path of the written file, which has no metadata yet; returns them.

    Returns the metadata as stored under the key `foldstack`: where the weights lie beside, with `data` added: `file`,
    `bytes` and `sha256`. Equal input gives equal bytes.
    """
    path = Path(path)
    with _folder_beside(path) as folder:
        file, beside = folder / path.name, data_path(folder / path.name)
        large = tensors.nbytes + proto.ByteSize() > LIMIT
        about = _write_beside(proto, tensors, file) if large else _write_whole(proto, tensors, file)
        metadata = finish(file) | about
        text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
        with open(file, "ab") as stream:  # fields of a message may stand in any order
            stream.write(
                ModelProto(metadata_props=[StringStringEntryProto(key="foldstack", value=text)]).SerializeToString()
            )
        if large:
            os.replace(beside, data_path(path))
        os.replace(file, path)
    if not large:
        data_path(path).unlink(missing_ok=True)  # of an earlier, larger export
    return metadata


def write_nothing(path) -> None:
    """An empty file, which stands for a model or variant that is left out."""
    write_text(path, "")
    data_path(path).unlink(missing_ok=True)


def data_path(path) -> Path:
    """Where the weights of an ONNX file lie if they are beside it."""
    return Path(f"{path}.data")


def total_bytes(path) -> int:
    """Size of an ONNX file and of its weights beside it."""
    return sum(file.stat().st_size for file in (Path(path), data_path(path)) if file.exists())


@contextlib.contextmanager
def _folder_beside(path: Path):
    """A folder next to `path` for files of the same names, which is removed at the end; also what a killed job left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as name:
        yield Path(name)


def _write_whole(proto: ModelProto, tensors: Tensors, file: Path) -> dict:
    """One file. The tensors follow the rest of the graph, whose length is computed before, as protobuf wants it."""
    graph, rest = proto.graph.SerializeToString(deterministic=True), ModelProto()
    rest.CopyFrom(proto)
    rest.ClearField("graph")
    heads = []
    for header in tensors.headers:
        known, size = header.SerializeToString(deterministic=True), nbytes(header)
        own = known + RAW_DATA + _varint(size)
        heads.append(INITIALIZER + _varint(len(own) + size) + own)
    length = len(graph) + sum(map(len, heads)) + tensors.nbytes
    with open(file, "wb") as stream:
        stream.write(rest.SerializeToString(deterministic=True) + GRAPH + _varint(length) + graph)
        for head, data in zip(steps(heads, WRITTEN), tensors.stream(), strict=True):
            stream.write(head)
            stream.write(data)
    return {}


def _write_beside(proto: ModelProto, tensors: Tensors, file: Path) -> dict:
    """Two files; returns `data`, which binds the second to the first."""
    beside, whole, digest, place = data_path(file), ModelProto(), hashlib.sha256(), 0
    whole.CopyFrom(proto)
    with open(beside, "wb") as stream:
        for header, data in zip(steps(tensors.headers, WRITTEN), tensors.stream(), strict=True):
            padding = bytes(-place % PAGE)
            stream.write(padding)
            stream.write(data)
            digest.update(padding)
            digest.update(data)
            place += len(padding)
            entry = whole.graph.initializer.add()
            entry.CopyFrom(header)
            entry.data_location = TensorProto.EXTERNAL
            for key, value in {"location": beside.name, "offset": place, "length": len(data)}.items():
                entry.external_data.add(key=key, value=str(value))
            place += len(data)
    file.write_bytes(whole.SerializeToString(deterministic=True))
    return {"data": {"file": beside.name, "bytes": place, "sha256": digest.hexdigest()}}


def _varint(number: int) -> bytes:
    """Protobuf's variable-length integer."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
