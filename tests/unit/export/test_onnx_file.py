"""foldstack.export.onnx_file and tensors: any size, tensor by tensor, equal bytes, nothing of an interrupted write."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from foldstack.export import onnx_file
from foldstack.export.onnx_file import data_path, write_model
from foldstack.export.session import read_metadata, session_of
from foldstack.export.tensors import LARGE, Tensors, header_of, of_onnx

GRAPH = """<ir_version: 10, opset_import: ["" : 20]>
add (float[batch, 300] x) => (float[batch, 300] y) {
    scaled = Mul(x, scale)
    moved = Add(scaled, shift)
    y = Mul(moved, two)
}"""


@pytest.fixture
def parts():
    random = np.random.default_rng(0)
    values = {"scale": random.normal(size=(300,)), "shift": random.normal(size=(1, 300))}
    values = {name: value.astype(np.float32) for name, value in values.items()}
    proto = parser.parse_model(GRAPH)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([2], np.float32), "two"))
    return proto, values


def tensors_of(values):
    headers = [header_of(name, onnx.TensorProto.FLOAT, value.shape) for name, value in values.items()]
    return Tensors(headers, lambda: (value.tobytes() for value in values.values()))


@pytest.mark.parametrize("limit", [onnx_file.LIMIT, 1000], ids=["one file", "two files"])
def test_what_is_written_computes_and_is_read_as_it_was(parts, tmp_path, monkeypatch, limit):
    proto, values = parts
    monkeypatch.setattr(onnx_file, "LIMIT", limit)
    seen = []
    metadata = write_model(proto, tensors_of(values), tmp_path / "m.onnx", lambda file: seen.append(file) or {"a": "é"})
    assert read_metadata(tmp_path / "m.onnx") == metadata
    assert data_path(tmp_path / "m.onnx").exists() == ("data" in metadata) == (limit == 1000)
    onnx.checker.check_model(str(tmp_path / "m.onnx"), full_check=True)
    x = np.ones((2, 300), np.float32)
    (found,) = session_of(str(tmp_path / "m.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(found, (x * values["scale"] + values["shift"]) * 2, rtol=1e-6)
    again, tensors = of_onnx(tmp_path / "m.onnx")
    assert [tensor.name for tensor in again.graph.initializer] == ["two"]
    assert all(np.prod(header.dims) * 4 >= LARGE for header in tensors.headers)
    for _ in range(2):  # as often as asked
        for data, value in zip(tensors.stream(), values.values(), strict=True):
            assert data == value.tobytes()
    content = (tmp_path / "m.onnx").read_bytes()
    write_model(proto, tensors_of(values), tmp_path / "m.onnx", lambda _: {"a": "é"})
    assert (tmp_path / "m.onnx").read_bytes() == content
    assert not seen[0].exists()


def test_the_plain_reader_of_onnx_reads_the_same(parts, tmp_path):
    proto, values = parts
    write_model(proto, tensors_of(values), tmp_path / "m.onnx", lambda _: {})
    read = onnx.load(tmp_path / "m.onnx")
    assert list(read.graph.node) == list(proto.graph.node)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in read.graph.initializer}
    for name, value in values.items():
        np.testing.assert_array_equal(stored[name], value)


def test_a_write_that_fails_leaves_what_was_there(parts, tmp_path, monkeypatch):
    proto, values = parts
    monkeypatch.setattr(onnx_file, "LIMIT", 1000)
    write_model(proto, tensors_of(values), tmp_path / "m.onnx", lambda _: {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / ".m.onnx.killed").mkdir()
    (tmp_path / ".m.onnx.killed" / "m.onnx").write_bytes(b"half")

    def refuse(file):
        raise RuntimeError(file.name)

    with pytest.raises(RuntimeError, match=r"m\.onnx"):
        write_model(proto, tensors_of({name: -value for name, value in values.items()}), tmp_path / "m.onnx", refuse)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
