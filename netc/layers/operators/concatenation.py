"""Inputs joined along an axis, and taken apart again: Concat and Split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Elements, Sees
from netc.layers._operator_layer import ANY, OperatorLayer, axis_of, common_dtype
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_CHANNELS = {"NCHW": 1, "NHWC": 3}
"""The axis of the channels by the order of the axes."""


def _axis(operator: Operator) -> int:
    """The argument `axis`, or the axis of the channels. Raises NetcError E101 for both, E103 for another order."""
    if "axis" in operator and "order" in operator:
        operator.fail("`axis` and `order` exclude each other", "order", code="E101")
    if "axis" in operator:
        return operator.integer("axis")
    order = operator.text("order", "NCHW").upper()
    if order not in _CHANNELS:
        operator.fail(f"`order: {order}` is neither NCHW nor NHWC", "order")
    return _CHANNELS[order]


def _add_axis(operator: Operator) -> bool:
    """The argument `add_axis`, which is read along with `axis` only."""
    return "axis" in operator and operator.flag("add_axis")


@operator("Concat", "DepthConcat")
@dataclass(frozen=True)
class ConcatOperator(OperatorLayer):
    """The inputs joined along an axis, and the extent of each input along it.

    Shapes: (..., c_1, ...), ..., (..., c_n, ...) to (..., c_1 + ... + c_n, ...) and (n); with `add_axis` n inputs
    of one shape are stacked along a new axis.

    Reference: `concat_split_op.h`.
    """

    axis: int = 1
    """The axis; of the output with `add_axis`. Without `axis` in the file, that of the channels in `order`."""
    add_axis: bool = False
    """Whether the axis is a new one."""

    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(2)
    computes_asked_tops: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY,)
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 for both `axis` and `order`."""
        return cls(_axis(operator), _add_axis(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs that differ along other axes, E103 for an axis that is out of range."""
        first = bottoms[0]
        axis = axis_of("Concat", self.axis, len(first) + self.add_axis)
        for index, shape in enumerate(bottoms[1:], 1):
            extents = zip(first, shape)
            unequal = any(differ(a, b) for i, (a, b) in enumerate(extents) if self.add_axis or i != axis)
            if len(shape) != len(first) or unequal:
                rule = "equal shapes" if self.add_axis else f"shapes that are equal except along axis {axis}"
                fail(f"input {index} has shape {text(shape)}, input 0 {text(first)}, expected {rule}", field="input")
        if self.add_axis:
            return (*first[:axis], len(bottoms), *first[axis:]), (len(bottoms),)
        total = sum((shape[axis] for shape in bottoms[1:]), start=first[axis])
        return (*first[:axis], total, *first[axis + 1 :]), (len(bottoms),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Raises NetcError E107 for inputs of different types."""
        return common_dtype("Concat", bottoms), "int32"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        axis = self.axis % (bottoms[0].dim() + self.add_axis)
        joined = torch.stack(list(bottoms), axis) if self.add_axis else torch.cat(list(bottoms), axis)
        if mode.tops == 1:
            return (joined,)
        extents = [1 if self.add_axis else x.shape[axis] for x in bottoms]
        return joined, torch.tensor(extents, dtype=torch.int32, device=joined.device)


@operator("Split", "DepthSplit")
@dataclass(frozen=True)
class SplitOperator(OperatorLayer):
    """Consecutive regions of the first input along an axis, one per output.

    Their extents are those of `split`, or of the second input, or equal. With `add_axis` each output is one position
    along the axis, without the axis.

    Shapes: (..., c_1 + ... + c_n, ...), optionally (n) to (..., c_1, ...), ..., (..., c_n, ...).

    Reference: `concat_split_op.h`.
    """

    axis: int = 1
    """The axis. Without `axis` in the file, that of the channels in `order`."""
    split: tuple[int, ...] = ()
    """The extents; empty if they are equal, or those of the second input."""
    add_axis: bool = False
    """Whether the outputs lack the axis."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    top_count: ClassVar[Count] = Count(1, None)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY, frozenset(("int32",)))
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 for both `axis` and `order`, and for extents in an argument and in an input."""
        split = operator.integers("split")
        if split and len(operator.inputs) > 1:
            operator.fail("the extents are set by an input, and by `split` as well", "split", code="E101")
        return cls(_axis(operator), split, _add_axis(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for extents that do not add up, E103 for an axis that is out of range."""
        x = bottoms[0]
        axis = axis_of("Split", self.axis, len(x))
        if len(bottoms) == 2:
            if differ(product(bottoms[1]), tops):
                fail(f"{text(bottoms[1])} extents for {counted(tops, 'output')}", field="input")
            extents: tuple[int, ...] = (UNKNOWN,) * tops
        else:
            extents = self._extents(x[axis], tops)
        if self.add_axis:
            if differ(x[axis], tops):
                fail(f"axis {axis} of {text(x)} has another extent than the {counted(tops, 'output')}", field="output")
            return ((*x[:axis], *x[axis + 1 :]),) * tops
        return tuple((*x[:axis], extent, *x[axis + 1 :]) for extent in extents)

    def _extents(self, whole: int, tops: int) -> tuple[int, ...]:
        """The extents of the outputs. Raises NetcError E102."""
        if not self.split:
            if whole % tops:
                fail(f"an extent of {whole} is not divisible by the number of outputs, {tops}", field="output")
            return (whole // tops,) * tops
        if len(self.split) != tops:
            fail(f"`split` has {counted(len(self.split), 'extent')}, expected {tops}, one per output", field="split")
        if any(extent < 0 for extent in self.split):
            fail(f"`split` has a negative extent: {text(self.split)}", field="split")
        if not self.add_axis and differ(sum(self.split), whole):
            fail(f"the extents {text(self.split)} add up to {sum(self.split)}, expected {whole}", field="split")
        return self.split

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the first input."""
        self.check_dtypes(bottoms)
        return (bottoms[0],) * tops

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Raises NetcError E102 for extents in the second input that do not add up."""
        import torch

        x = bottoms[0]
        if self.add_axis:
            return x.unbind(self.axis)
        whole = x.shape[self.axis]
        extents = list(self._extents(whole, mode.tops)) if len(bottoms) == 1 else bottoms[1].flatten().tolist()
        if sum(extents) != whole or min(extents) < 0:
            fail(f"the extents {text(tuple(extents))} add up to {sum(extents)}, expected {whole}", field="input")
        return torch.split(x, extents, self.axis)
