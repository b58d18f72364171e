"""One network as an ONNX graph without its weights, which are inputs: the same graph for all folds and seeds.

Nothing in such a graph can be a function of weights, so any weights of the same names, shapes and types fit it.
"""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, helper

from foldstack.errors import FoldstackError
from foldstack.export.tensors import Tensors, described, header_of, nbytes, of_weights
from foldstack.files import atomic
from foldstack.models.registry import FROM_FILES

OPSET = 20  # read by onnxruntime >= 1.17
IMAGE, PROBABILITIES, TEMPERATURE = "image", "probabilities", "temperature"


@dataclass(frozen=True)
class Trace:
    """A graph from `image`, uint8 (batch, ...), and weights by their names to `probabilities`, float32 (batch, C).

    Attributes:
        proto: its inputs are `image` and the weights; it holds constants that depend on no weight.
        spec: of the network, as `structure_of` gives it.
        constants: {name: SHA-256} of tensors of the module that are neither in its weights file nor computed in its
            forward, such as index tables.
    """

    proto: ModelProto
    spec: dict
    constants: dict[str, str]

    @property
    def weights(self) -> dict[str, tuple[int, list[int]]]:
        """{name: (ONNX element type, shape)}."""
        inputs = list(self.proto.graph.input)[1:]
        return {value.name: (value.type.tensor_type.elem_type, shape_of(value)) for value in inputs}

    @property
    def nbytes(self) -> int:
        """Bytes of one network's weights."""
        return sum(map(nbytes, (header_of(name, *known) for name, known in self.weights.items())))

    @property
    def digest(self) -> str:
        """Of the graph and of what fits it; 16 hexadecimal digits."""
        content = self.proto.SerializeToString(deterministic=True) + json.dumps(self.constants, sort_keys=True).encode()
        return hashlib.sha256(content).hexdigest()[:16]

    def fits(self, path) -> bool:
        """Is the network of a weights file this graph with other weights?"""
        shapes, spec = described(path)
        of_file = {name: known for name, known in self.weights.items() if name != TEMPERATURE}
        if structure_of(spec) != self.spec or any(shapes.get(name) != known for name, known in of_file.items()):
            return False
        if not self.constants:
            return True
        from foldstack.models.network import load_classifier  # imports torch, which most architectures need not here

        buffers = dict(load_classifier(path).named_buffers())
        return all(name in buffers and sha256(buffers[name]) == known for name, known in self.constants.items())

    def weights_in(self, path) -> Tensors:
        """The weights of a file that `fits`."""
        _, spec = described(path)
        tempered = TEMPERATURE in self.weights
        more = {TEMPERATURE: np.array(spec[TEMPERATURE], np.float32)} if tempered else {}
        return of_weights(path, [name for name in self.weights if name != TEMPERATURE], more)

    def save(self, path) -> None:
        proto = ModelProto()
        proto.CopyFrom(self.proto)
        helper.set_model_props(proto, {"trace": json.dumps({"spec": self.spec, "constants": self.constants})})
        with atomic(path) as temporary:
            temporary.write_bytes(proto.SerializeToString(deterministic=True))

    @classmethod
    def load(cls, path) -> "Trace":
        """Raises FoldstackError where the file is not one that `save` wrote."""
        try:
            proto = onnx.load(path)
            said = json.loads({item.key: item.value for item in proto.metadata_props}["trace"])
        except Exception as error:  # protobuf has no public base class for the errors of a broken file
            raise FoldstackError(f"{path} is no trace ({error}); delete it and run again.") from error
        del proto.metadata_props[:]
        return cls(proto, said["spec"], said["constants"])


def sha256(tensor) -> str:
    """Of the bytes of a tensor that numpy can hold."""
    return hashlib.sha256(np.ascontiguousarray(tensor.numpy()).tobytes()).hexdigest()


def shape_of(value: onnx.ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def structure_of(spec: dict) -> dict:
    """What of a network's spec decides its graph: folds differ in the temperature and in files of first weights."""
    options = {key: value for key, value in spec["options"].items() if key not in FROM_FILES}
    tempered = {TEMPERATURE: True} if TEMPERATURE in spec else {}
    return json.loads(json.dumps({**spec, "options": options, "classes": len(spec["classes"])} | tempered))
