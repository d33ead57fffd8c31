"""How a layer type is written in ONNX: one function each, found by the layer's class.

A rule takes an `OnnxCall` and adds operators to it. Names of values and weights are those of the net; ONNX accepts any
text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.exporters.registry import Rules
from netc.ir.names import UniqueNames

if TYPE_CHECKING:
    import onnx

    from netc.ir.dims import Shape
    from netc.ir.dtypes import DType
    from netc.ir.layer import Layer, Shapes

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Initializer:
    """An array of the model and the type that it has there; it is converted when it is written."""

    array: Array
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size in the model."""
        return self.array.size * self.dtype.itemsize

    @property
    def value(self) -> Array:
        """The array, contiguous and in the type; a copy only where it is not."""
        shape = self.array.shape  # `ascontiguousarray` adds an axis to a number
        return np.ascontiguousarray(self.array, self.dtype).reshape(shape)


@dataclass
class Sink:
    """Where operators and constants go."""

    dtype: np.dtype[Any]
    """What the net computes in."""
    operators: list[tuple[str, tuple[str, ...], tuple[str, ...], str, dict[str, Any]]] = field(default_factory=list)
    """Type, inputs, outputs, name, attributes."""
    constants: dict[str, Initializer] = field(default_factory=dict)
    names: UniqueNames = field(default_factory=lambda: UniqueNames(":"))
    """Of values and constants."""
    operator_names: UniqueNames = field(default_factory=lambda: UniqueNames(":"))

    def draft(self) -> Sink:
        """A sink for a layer that may turn out to be inexpressible: names are taken in both, the rest is apart."""
        return replace(self, operators=[], constants={})

    def keep(self, draft: Sink) -> None:
        """Add the contents of a draft."""
        self.operators += draft.operators
        self.constants.update(draft.constants)

    def inner(self) -> Sink:
        """Where the operators of a loop's body go: names and constants are those of the whole model."""
        return replace(self, operators=[])

    def nodes(self) -> list[onnx.NodeProto]:
        """The operators as ONNX has them."""
        import onnx

        return [
            onnx.helper.make_node(kind, ins, outs, name=name, **_typed(attributes, self.dtype))
            for kind, ins, outs, name, attributes in self.operators
        ]

    def fresh(self, name: str) -> str:
        """An unused name for a value: itself, or numbered."""
        return self.names.add(name)


def _typed(attributes: dict[str, Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Cast's attribute is called `to`, as is the argument of `Call.op`; `to_type` is a type's name, or the net's."""
    import onnx

    made = dict(attributes)
    kind = made.pop("to_type", None)
    if kind is not None:
        made["to"] = onnx.helper.np_dtype_to_tensor_dtype(dtype if kind == "net" else np.dtype(kind))
    return made


@dataclass(frozen=True)
class OnnxCall:
    """One use of a layer."""

    sink: Sink
    name: str
    """The layer's."""
    bottoms: tuple[str, ...]
    shapes: Shapes
    """Of the bottoms; the batch is of any size when the model runs."""
    tops: tuple[str, ...]
    top_shapes: Shapes
    blobs: tuple[Array, ...]
    """In Caffe's shapes; those of an absorbed layer follow."""
    blob_names: tuple[str, ...]
    absorbed: Layer | None = None
    sample: Shapes = ()
    """Shapes of the bottoms with other numbers, 3 or more, on the axes that are free."""
    free: tuple[tuple[int, ...], ...] = ()
    """For each bottom the axes whose extents are free when the model runs."""
    dtypes: tuple[DType, ...] = ()
    """Of the bottoms."""
    module_shapes: tuple[Shape, ...] = ()
    """The shapes in which the layer's forward pass takes the blobs."""

    @property
    def x(self) -> str:
        """The first bottom."""
        return self.bottoms[0]

    @property
    def axes(self) -> int:
        """How many axes the first bottom has."""
        return len(self.shapes[0])

    def op(self, kind: str, *inputs: str, to: str | Sequence[str] | None = None, **attributes: Any) -> str:
        """Add an operator; `to` names its results (default: a new name). Returns the first result's name."""
        outputs = (to,) if isinstance(to, str) else tuple(to or (self.sink.fresh(f"{self.name}/{kind}"),))
        self.add(kind, inputs, outputs, attributes)
        return outputs[0]

    def add(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, Any]) -> None:
        """Add an operator between named values."""
        name = self.sink.operator_names.add(self.name)
        self.sink.operators.append((kind, tuple(inputs), tuple(outputs), name, attributes))

    def top(self, kind: str, *inputs: str, **attributes: Any) -> None:
        """Add the operator of the first top."""
        self.op(kind, *inputs, to=self.tops[0], **attributes)

    def constant(self, values: Any, word: str = "constant", dtype: Any = None) -> str:
        """Numbers as an initializer: in the net's type, unless `dtype` is given. A number has no axis."""
        return self._hold(f"{self.name}/{word}", np.asarray(values), np.dtype(dtype or self.sink.dtype))

    def tensor(self, values: Array) -> str:
        """An array as an initializer, in its own type and shape."""
        return self._hold(f"{self.name}/constant", values, values.dtype)

    def blob(self, index: int, shape: Sequence[int] | None = None) -> str:
        """A blob as an initializer, perhaps in another shape. Integers keep their type."""
        array = self.blobs[index] if shape is None else self.blobs[index].reshape(shape)
        return self._hold(f"{self.name}.{self.blob_names[index]}", array, self._type_of(array))

    def hold_top(self, index: int) -> None:
        """Let a blob be the first top: an initializer of the top's name."""
        array = self.blobs[index]
        self.sink.constants[self.tops[0]] = Initializer(array, self._type_of(array))

    def _type_of(self, array: Array) -> np.dtype[Any]:
        return self.sink.dtype if array.dtype.kind == "f" else array.dtype

    def _hold(self, name: str, array: Array, dtype: np.dtype[Any]) -> str:
        held = self.sink.fresh(name)
        self.sink.constants[held] = Initializer(array, dtype)
        return held


Rule = Callable[[Any, OnnxCall], None]
"""Adds the operators of a layer. Raises NetcError E801 for what it cannot express (`errors.unsupported`)."""
RULES: Rules[Rule] = Rules("netc.exporters.onnx")
writes = RULES.writes
