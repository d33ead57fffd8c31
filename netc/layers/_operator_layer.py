"""The base class of layers that only Caffe2 has, and what their shape rules share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from netc.ir.dims import Shape, differ, known, text
from netc.ir.dtypes import DType
from netc.ir.layer import Layer, Shapes, fail

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

    empty_blobs: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT,)


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


def all_known(shapes: Sequence[Shape]) -> bool:
    """Whether every extent is known."""
    return all(known(extent) for shape in shapes for extent in shape)


def elementwise(shapes: Shapes) -> Shapes:
    """The shape of one input, kept."""
    return shapes[:1]
