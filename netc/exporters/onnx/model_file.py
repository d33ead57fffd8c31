"""An ONNX model as a file: the arrays are written one after the other, without copying them.

A message that held all arrays would need several times their size: for the message, for its copy in the checker and for
the bytes of the file. Here the message has the operators and the small arrays that decide shapes; large arrays follow
in the wire format of protocol buffers, in which a repeated field may occur anywhere in its message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from netc.diagnostics import NetcError
from netc.ir.verify import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import onnx

    from netc.exporters.onnx.rules import Array, Initializer

MAX_BYTES = 2**31 - 1
"""What protobuf can hold in one message."""
SMALL = 4096
"""Arrays of up to this many bytes are in the message: shape inference reads some of them."""
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""Fields of ModelProto, GraphProto and TensorProto (`onnx.proto`)."""


@dataclass(frozen=True)
class OnnxModel:
    """A model in two parts."""

    message: onnx.ModelProto
    """The model without its large arrays."""
    arrays: Mapping[str, Initializer]
    """The large arrays, by name."""

    def check(self) -> None:
        """Check the model with onnx's own checker. Raises onnx's exceptions: a model that fails is a bug of netc."""
        import onnx

        checked = onnx.ModelProto()
        checked.CopyFrom(self.message)
        for name, constant in self.arrays.items():  # of an array the checker needs only the type and the shape
            kind = onnx.helper.np_dtype_to_tensor_dtype(constant.dtype)
            checked.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, constant.array.shape))
        try:
            onnx.checker.check_model(checked, full_check=True)
        except Exception as error:
            error.add_note(REPORT)
            raise

    def proto(self) -> onnx.ModelProto:
        """The model as one message."""
        import onnx

        whole = onnx.ModelProto()
        whole.CopyFrom(self.message)
        for name, constant in self.arrays.items():
            whole.graph.initializer.append(onnx.numpy_helper.from_array(constant.value, name))
        return whole

    def write(self, file: BinaryIO) -> None:
        """Write the model. Raises NetcError E407 for more than a file can hold."""
        import onnx

        graph = self.message.graph.SerializeToString()
        heads = {name: _head(name, constant) for name, constant in self.arrays.items()}
        sizes = {name: len(head) + self.arrays[name].nbytes for name, head in heads.items()}
        inner = len(graph) + sum(len(_field(_INITIALIZER, size)) + size for size in sizes.values())
        check_size(inner)
        rest = onnx.ModelProto()
        rest.CopyFrom(self.message)
        rest.ClearField("graph")
        file.write(rest.SerializeToString() + _field(_GRAPH, inner) + graph)
        for name, head in heads.items():
            file.write(_field(_INITIALIZER, sizes[name]) + head)
            file.write(_bytes(self.arrays[name].value))


def check_size(size: int) -> None:
    """Raise NetcError E407 for a model of more bytes than one file can hold."""
    if size > MAX_BYTES:
        raise NetcError(f"the weights need {size} bytes, an ONNX file can hold {MAX_BYTES}", code="E407")


def _head(name: str, constant: Initializer) -> bytes:
    """A TensorProto up to its bytes."""
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(constant.dtype)
    tensor = onnx.TensorProto(name=name, dims=constant.array.shape, data_type=kind)
    return bytes(tensor.SerializeToString() + _field(_RAW_DATA, constant.nbytes))


def _field(number: int, size: int) -> bytes:
    """The head of a field of `size` bytes."""
    return bytes([number << 3 | 2, *_varint(size)])


def _varint(value: int) -> Iterator[int]:
    while value > 0x7F:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def _bytes(array: Array) -> Any:
    """The elements in the order of the format: the first byte is the lowest."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8).data
