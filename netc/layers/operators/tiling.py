"""Elements repeated: Tile, NumpyTile, Expand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, Shape, differ, known, text
from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import ANY, INTEGERS, NUMBERS, OperatorLayer, axis_of, check_axes, check_shape
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_INT64: frozenset[DType] = frozenset(("int64",))


@operator("Tile")
@dataclass(frozen=True)
class TileOperator(OperatorLayer):
    """The input repeated `tiles` times along an axis.

    The second input replaces `tiles`, the third `axis`. As in Caffe2, tiles of type int64 without a third input are
    laid along axis 0.

    Shapes: (..., n, ...), optionally (1), (1) to (..., tiles n, ...).

    Reference: `tile_op.h`.
    """

    tiles: int = 1
    """The number of copies."""
    axis: int = 0
    """The axis."""

    bottom_count: ClassVar[Count] = Count(1, 3)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (NUMBERS, INTEGERS)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 for an argument that is missing, E103 for a negative number of tiles."""
        if len(operator.inputs) < 2:
            operator.require("tiles")
        if len(operator.inputs) < 3:
            operator.require("axis")
        tiles = operator.integer("tiles", 1)
        if tiles < 0:
            operator.fail(f"`tiles: {tiles}` is negative", "tiles")
        return cls(tiles, operator.integer("axis"))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range."""
        x = bottoms[0]
        for index in range(1, len(bottoms)):
            check_shape("Tile", bottoms[index], (1,), index)
        if len(bottoms) == 3:
            return ((UNKNOWN,) * len(x),)
        axis = axis_of("Tile", self.axis, len(x))
        if len(bottoms) == 2:  # the axis depends on the type of the tiles
            return (tuple(UNKNOWN if i in (0, axis) else extent for i, extent in enumerate(x)),)
        return ((*x[:axis], x[axis] * self.tiles, *x[axis + 1 :]),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the first input."""
        self.check_dtypes(bottoms)
        return (bottoms[0],)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E103 for inputs that are out of range."""
        import torch

        x, tiles, axis = bottoms[0], self.tiles, self.axis
        if len(bottoms) > 1:
            tiles = int(bottoms[1])
            axis = 0 if bottoms[1].dtype == torch.int64 else axis
        if len(bottoms) > 2:
            axis = axis_of("Tile", int(bottoms[2]), x.dim())
        if tiles < 0:
            fail(f"a number of tiles of {tiles} is negative", code="E103", field="input")
        repeats = [1] * x.dim()
        repeats[axis] = tiles
        return x.repeat(repeats)


@operator("NumpyTile")
@dataclass(frozen=True)
class NumpyTile(OperatorLayer):
    """The first input repeated along each axis as often as the second says.

    Shapes: (n_1, ..., n_k), (k) to (r_1 n_1, ..., r_k n_k).

    Reference: `numpy_tile_op.h`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY, _INT64)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one number of copies per axis."""
        check_shape("NumpyTile", bottoms[1], (len(bottoms[0]),), 1)
        return ((UNKNOWN,) * len(bottoms[0]),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the first input."""
        self.check_dtypes(bottoms)
        return (bottoms[0],)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a negative number of copies."""
        repeats = bottoms[1].tolist()
        if any(number < 0 for number in repeats):
            fail(f"numbers of copies {text(tuple(repeats))} with a negative one", code="E301", field="input")
        return bottoms[0].repeat(repeats)


@operator("Expand")
@dataclass(frozen=True)
class Expand(OperatorLayer):
    """The first input broadcast to the shape that the second holds, as NumPy broadcasts two shapes.

    Shapes: any, (k) to the shape to which the first input's and the given one are broadcast.

    Reference: `expand_op.h`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (NUMBERS, _INT64)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 unless the second input is a vector."""
        x, shape = bottoms
        check_axes("Expand", shape, 1, 1)
        if not known(shape[0]):
            return (None,)
        kept = x[: max(len(x) - shape[0], 0)]
        return ((*kept, *(UNKNOWN,) * shape[0]),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the first input."""
        self.check_dtypes(bottoms)
        return (bottoms[0],)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E102 for shapes that do not broadcast."""
        x, shape = tuple(bottoms[0].shape), tuple(bottoms[1].tolist())
        axes = max(len(x), len(shape))
        ones = (1,) * axes
        pairs = list(zip((ones + x)[-axes:], (ones + shape)[-axes:])) if axes else []
        if any(a != 1 and (b != 1 or a == 0) and differ(a, b) for a, b in pairs):
            fail(f"{text(x)} does not broadcast to {text(shape)}", field="input")
        return bottoms[0].expand(tuple(max(a, b) for a, b in pairs))
