"""The base class of operators that fill a blob: where its shape comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import UNKNOWN, Shape, known, text
from netc.ir.dtypes import DType
from netc.ir.layer import Constant, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import ANY, OperatorLayer, check_axes

if TYPE_CHECKING:
    from torch import Tensor

FillShape = tuple[Shape, Shape, bool]
"""The fields `shape`, `extra_shape` and `input_as_shape`."""


@dataclass(frozen=True)
class FillOperator(OperatorLayer):
    """An operator whose output has the shape `shape`, that of its first input, or the shape that this input holds.

    Reference: `filler_op.h`.
    """

    shape: Shape = ()
    """The shape; without an input."""
    extra_shape: Shape = ()
    """Extents after those of the input."""
    input_as_shape: bool = False
    """Whether the elements of the input are the extents."""

    bottom_count: ClassVar[Count] = Count(0, 1)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """int64 extents, or any input that only has the shape."""
        return (frozenset(("int64",)) if self.input_as_shape else ANY,)

    @property
    def dtype_of_top(self) -> DType:
        """The type of the output."""
        return "float32"

    @staticmethod
    def read_shape(operator: Operator) -> FillShape:
        """The fields of a filler. Raises NetcError E101 for a shape in two places, or in none."""
        shape, extra = operator.integers("shape"), operator.integers("extra_shape")
        input_as_shape = operator.flag("input_as_shape")
        if operator.inputs and shape:
            operator.fail("the shape is set by an input, and by `shape` as well", "shape", code="E101")
        if extra and not operator.inputs:
            operator.fail("`extra_shape` extends the shape of an input", "extra_shape", code="E101")
        if input_as_shape and not operator.inputs:
            operator.fail("`input_as_shape` requires an input", "input_as_shape", code="E101")
        for argument, extents in (("shape", shape), ("extra_shape", extra)):
            if any(extent < 0 for extent in extents):
                operator.fail(f"`{argument}` {text(extents)} has a negative extent", argument)
        return shape, extra, input_as_shape

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 for extents that are not a vector."""
        if not bottoms:
            return (self.shape,)
        if not self.input_as_shape:
            return ((*bottoms[0], *self.extra_shape),)
        check_axes(self.type, bottoms[0], 1)
        axes = bottoms[0][0]
        if axes == 0:
            fail("the input holds no extents", field="input")
        return ((*(UNKNOWN,) * axes, *self.extra_shape) if known(axes) else None,)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The type that the operator fills with."""
        self.check_dtypes(bottoms)
        return (self.dtype_of_top,)

    def extents(self, bottoms: Sequence[Tensor]) -> Shape:
        """The shape of the output at run time. Raises NetcError E301 for a negative extent in the input."""
        if not bottoms:
            return self.shape
        if not self.input_as_shape:
            return (*bottoms[0].shape, *self.extra_shape)
        held = tuple(bottoms[0].tolist())
        if any(extent < 0 for extent in held):
            fail(f"the input holds the shape {text(held)} with a negative extent", code="E301", field="input")
        return (*held, *self.extra_shape)

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """Without inputs a number that tells where the net is: it moves with the net."""
        return () if bottoms else (Constant("place", values=(0.0,)),)

    def placed(self, filled: Tensor, bottoms: Sequence[Tensor], mode: Mode) -> Tensor:
        """The output where the input or the net is, float32 in the precision of the net.

        Numbers are drawn on the CPU, so that a seed has the same result everywhere.
        """
        import torch

        if bottoms:
            return filled.to(bottoms[0].device)
        place = mode.constants.get("place", filled)
        return filled.to(place.device, place.dtype if filled.dtype == torch.float32 else filled.dtype)
