"""A region of an input along one axis: Slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, agree, differ, known, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Elements
from netc.layers._operator_layer import ANY, INTEGERS, OperatorLayer, check_axes, common_dtype
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Slice")
@dataclass(frozen=True)
class SliceOperator(OperatorLayer):
    """The elements from `starts` (inclusive) to `ends` (exclusive) along each axis.

    Both are arguments, or the second and third input. A negative position counts back from after the last element: -1
    is the end, and so is one beyond it. As in Caffe2's version for the CPU, only one axis may have other
    bounds than 0 and the end, unless the input has no elements.

    Shapes: (n_1, ..., n_k), optionally (k), (k) to (end_1 - start_1, ..., end_k - start_k).

    Reference: `slice_op.h`.
    """

    starts: tuple[int, ...] = ()
    """The first position along each axis."""
    ends: tuple[int, ...] = ()
    """The position after the last one along each axis."""

    bottom_count: ClassVar[Count] = Count(1, 3)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY, INTEGERS)
    elements: ClassVar[Elements] = "moved"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 without bounds, E103 for lists of different lengths."""
        if len(operator.inputs) == 2:
            operator.fail("the input of `starts` comes with one of `ends`", code="E101")
        if len(operator.inputs) > 2:
            return cls()
        operator.require("starts")
        operator.require("ends")
        starts, ends = operator.integers("starts"), operator.integers("ends")
        if len(starts) != len(ends):
            operator.fail(f"`starts` and `ends` have different lengths, {len(starts)} and {len(ends)}", "ends")
        return cls(starts, ends)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bounds that do not fit the input."""
        x = bottoms[0]
        if len(bottoms) == 1:
            bounds = _bounds(x, self.starts, self.ends)
            return (tuple(end - start for start, end in bounds),)
        for index in (1, 2):
            check_axes("Slice", bottoms[index], 1, index)
        if differ(bottoms[1], bottoms[2]):
            fail(f"`starts` and `ends` have shapes {text(bottoms[1])} and {text(bottoms[2])}", field="input")
        return ((UNKNOWN,) * len(x),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the first input. Raises NetcError E107 if `starts` and `ends` differ in type."""
        self.check_dtypes(bottoms)
        common_dtype("Slice", bottoms[1:])
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E102 for bounds in the inputs that do not fit."""
        x = bottoms[0]
        starts, ends = self.starts, self.ends
        if len(bottoms) == 3:
            starts, ends = tuple(bottoms[1].tolist()), tuple(bottoms[2].tolist())
        return x[tuple(slice(start, end) for start, end in _bounds(tuple(x.shape), starts, ends))]


def _bounds(x: tuple[int, ...], starts: tuple[int, ...], ends: tuple[int, ...]) -> list[tuple[int, int]]:
    """The bounds along each axis, from 0 to its extent; UNKNOWN where they depend on an unknown extent.

    Raises NetcError E102 for an end before the start, and for several axes.
    """
    if len(starts) > len(x):
        fail(f"bounds of {len(starts)} axes for an input of shape {text(x)}", field="starts")
    bounds = [_bound(extent, start, end) for extent, start, end in zip(x, starts, ends)]
    bounds += [(0, extent) for extent in x[len(starts) :]]
    cut = [
        axis
        for axis, ((start, end), extent) in enumerate(zip(bounds, x))
        if start > 0 or (known(end) and not agree(end, extent))
    ]
    if product(x) == 0:
        return bounds
    if len(cut) > 1:
        fail(f"`Slice` cuts along axes {', '.join(map(str, cut))}, but supports only one", field="starts")
    if cut and len(starts) < len(x):
        fail(f"`Slice` has bounds of {len(starts)} axes, expected {len(x)}", field="starts")
    return bounds


def _bound(extent: int, start: int, end: int) -> tuple[int, int]:
    if (start, end) == (0, -1):
        return 0, extent
    if not known(extent):
        return (start if start >= 0 else UNKNOWN), UNKNOWN
    first, last = (position if position >= 0 else extent + 1 + position for position in (start, end))
    first, last = min(first, extent), min(last, extent)
    if extent and not 0 <= first <= last:
        fail(f"bounds {start} and {end} do not fit an extent of {extent}", field="ends")
    return (first, last) if extent else (0, 0)
