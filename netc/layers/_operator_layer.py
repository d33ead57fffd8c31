"""The base class of layers that only Caffe2 has, and what their shape rules share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self

from netc.diagnostics import NetcError, visible
from netc.ir.dims import Shape, differ, text
from netc.ir.dtypes import DType
from netc.ir.field_values import argument
from netc.ir.layer import DTypes, Layer, fail
from netc.ir.operator import Operator

FLOAT: frozenset[DType] = frozenset(("float32",))
"""What the CPU version of most operators accepts."""
INTEGERS: frozenset[DType] = frozenset(("int32", "int64"))
"""The types of indices."""
NUMBERS: frozenset[DType] = FLOAT | INTEGERS | {"float64"}
"""The types that Caffe2 calls NumericTypes."""
ANY: frozenset[DType] = frozenset()
"""Any type."""


@dataclass(frozen=True)
class OperatorLayer(Layer):
    """An operator without weights of its own: all that it computes with are its inputs."""

    dialect: ClassVar[str] = "caffe2"
    empty_blobs: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT,)


@dataclass(frozen=True)
class TypedOperator(OperatorLayer):
    """An operator whose class serves several types."""

    type: str = ""  # type: ignore[misc]
    """The type of the operator."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Each other field is the argument of the same name."""
        own = [f for f in dataclasses.fields(cls) if f.name != "type" and f.name in operator]
        return cls(operator.type, **{f.name: argument(operator, f) for f in own})


def channel_axis(order: str, axes: int) -> int:
    """Return the axis of the channels in a storage order.

    >>> channel_axis("NCHW", 4), channel_axis("NHWC", 4)
    (1, 3)
    """
    return 1 if order.upper() == "NCHW" else axes - 1


def check_order(order: str) -> None:
    """Raise NetcError E103 for an `order` other than NCHW and NHWC, in capital or small letters."""
    if order not in ("NCHW", "NHWC", "nchw", "nhwc"):
        fail(f"`order` is `{visible(order)}`: it must be NCHW or NHWC", code="E103", field="order")


def check_same_types(name: str, dtypes: DTypes, first: int = 0) -> None:
    """Raise NetcError E107 for an input of another type than the input `first`, from there on."""
    for index in range(first + 1, len(dtypes)):
        if "unknown" not in (dtypes[index], dtypes[first]) and dtypes[index] != dtypes[first]:
            fail(
                f"input {index} of `{name}` has type {dtypes[index]}, but input {first} has {dtypes[first]}",
                code="E107",
                field="input",
            )


def check_axes(name: str, shape: Shape, count: int, index: int = 0) -> None:
    """Raise NetcError E102 unless an input has this number of axes."""
    if len(shape) != count:
        fail(f"input {index} of `{name}` has shape {text(shape)}, expected {count} axes", field="input")


def check_shape(name: str, shape: Shape, expected: Shape, index: int) -> None:
    """Raise NetcError E102 if an input is known to have another shape."""
    if differ(shape, expected):
        fail(f"input {index} of `{name}` has shape {text(shape)}, expected {text(expected)}", field="input")


def axis_of(name: str, axis: int, axes: int, argument: str = "axis") -> int:
    """Return an axis counted from 0. Raises NetcError E103 for one that is out of range.

    >>> axis_of("Concat", -1, 4)
    3
    """
    if not -axes <= axis < axes:
        fail(f"`{argument}: {axis}` of `{name}` is out of range for {axes} axes", code="E103", field=argument)
    return axis % axes


def common_dtype(name: str, dtypes: DTypes) -> DType:
    """The type of inputs that have to be of one. Raises NetcError E107 for several.

    >>> common_dtype("Concat", ("unknown", "int32"))
    'int32'
    """
    known = tuple(dict.fromkeys(dtype for dtype in dtypes if dtype != "unknown"))
    if len(known) > 1:
        fail(f"inputs of `{name}` have types {' and '.join(known)}, expected one type", code="E107", field="input")
    return known[0] if known else "unknown"


def require_in_place(operator: Operator, index: int, output: int = 0) -> None:
    """Raise NetcError E023 unless an operator that updates an input writes the output to that input's blob."""
    if len(operator.inputs) > index and operator.outputs[output : output + 1] != operator.inputs[index : index + 1]:
        raise NetcError(
            f"`{operator.type}` updates input {index}: output {output} must be the same blob",
            code="E023",
            field="output",
            help=f'write `output: "{visible(operator.inputs[index])}"`',
        )
