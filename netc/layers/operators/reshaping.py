"""The same elements in another shape: Reshape, Flatten, ExpandDims, Squeeze and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, Shape, differ, known, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Elements
from netc.layers._operator_layer import ANY, INTEGERS, OperatorLayer, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Rearranged(OperatorLayer):
    """The elements of the first input, in the same order, in the shape that `infer` returns."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY,)
    elements: ClassVar[Elements] = "moved"

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the first input."""
        self.check_dtypes(bottoms)
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        (shape,) = self.infer(tuple(tuple(x.shape) for x in bottoms), 1)
        assert shape is not None
        return bottoms[0].reshape(shape)


@operator("Reshape")
@dataclass(frozen=True)
class ReshapeOperator(OperatorLayer):
    """The input in the shape of the argument `shape` or of the second input, and the shape that it had.

    An extent of 0 is that of the input's axis with the same index; one extent may be -1, which follows from the others.

    Shapes: any of m axes, optionally (k) to k axes and (m).

    Reference: `reshape_op.h`.
    """

    shape: tuple[int, ...] | None = None
    """The new extents; None if the second input holds them."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    top_count: ClassVar[Count] = Count(2)
    computes_asked_tops: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY, INTEGERS)
    elements: ClassVar[Elements] = "moved"
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 unless the shape is an argument or an input."""
        if len(operator.inputs) == 2:
            if "shape" in operator:
                operator.fail("the shape is set by an input, and by `shape` as well", "shape", code="E101")
            return cls()
        operator.require("shape")
        return cls(operator.integers("shape"))

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 for a shape with another number of elements."""
        x = bottoms[0]
        if self.shape is not None:
            return resolved(x, self.shape), (len(x),)
        check_axes("Reshape", bottoms[1], 1, 1)
        (axes,) = bottoms[1]
        return ((UNKNOWN,) * axes if known(axes) else None), (len(x),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The old shape has the type of the second input, or int64."""
        self.check_dtypes(bottoms)
        return bottoms[0], bottoms[1] if len(bottoms) == 2 else "int64"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Raises NetcError E102 for a shape in the second input that does not fit."""
        import torch

        x = bottoms[0]
        shape = bottoms[1].tolist() if self.shape is None else self.shape
        reshaped = x.reshape(resolved(tuple(x.shape), tuple(shape)))
        if mode.tops == 1:
            return (reshaped,)
        old = torch.tensor(x.shape, dtype=bottoms[1].dtype if len(bottoms) == 2 else torch.int64, device=x.device)
        return reshaped, old


def resolved(x: Shape, shape: Shape) -> Shape:
    """The extents that `shape` stands for. Raises NetcError E102 for another number of elements than that of `x`.

    >>> resolved((2, 3, 4), (0, -1)), resolved((2, UNKNOWN), (0, -1, 2))
    ((2, 12), (2, ?, 2))
    """
    for axis, extent in enumerate(shape):
        if extent == 0 and axis >= len(x):
            fail(f"extent 0 at axis {axis} copies that of an axis which {text(x)} lacks", field="shape")
        if extent < -1:
            fail(f"`shape` {text(shape)} has an extent below -1", code="E103", field="shape")
    if shape.count(-1) > 1:
        fail(f"`shape` {text(shape)} has more than one extent of -1", code="E103", field="shape")
    kept = {axis for axis, extent in enumerate(shape) if extent == 0}
    empty = any(x[axis] == 0 for axis in kept)
    # extents that are kept, which may be unknown, are left out of both products
    rest = 0 if empty else product(extent for axis, extent in enumerate(x) if axis not in kept)
    size = 0 if empty else product(extent for extent in shape if extent > 0)
    if -1 in shape and size == 0:
        fail(f"the extent of -1 in `shape` {text(shape)} does not follow from 0 elements", field="shape")
    if rest % size if -1 in shape else differ(rest, size):
        fail(f"{text(x)} has {product(x)} elements, which do not fit `shape` {text(shape)}", field="shape")
    missing = rest // size if -1 in shape else 0
    return tuple(x[axis] if axis in kept else missing if extent == -1 else extent for axis, extent in enumerate(shape))


@operator("Flatten")
@dataclass(frozen=True)
class FlattenOperator(_Rearranged):
    """The input as a matrix: the axes before `axis` as rows, the others as columns.

    Shapes: (n_1, ..., n_k) to (product of those before `axis`, product of the others).

    Reference: `flatten_op.h`.
    """

    axis: int = 1
    """The first axis of the columns."""

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range."""
        x = bottoms[0]
        if not 0 <= self.axis <= len(x):
            fail(f"`axis: {self.axis}` is out of range for {len(x)} axes", code="E103", field="axis")
        return ((product(x[: self.axis]), product(x[self.axis :])),)


@operator("FlattenToVec")
@dataclass(frozen=True)
class FlattenToVec(_Rearranged):
    """The input as a vector.

    Shapes: (n_1, ..., n_k), k at least 1, to (n_1 ... n_k).

    Reference: `utility_ops.h`.
    """

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a scalar."""
        if not bottoms[0]:
            fail("`FlattenToVec` expects at least 1 axis, got a scalar", field="input")
        return ((product(bottoms[0]),),)


@operator("ResizeLike")
@dataclass(frozen=True)
class ResizeLike(_Rearranged):
    """The first input in the shape of the second.

    Shapes: any, any with the same number of elements, to the second.

    Reference: `utility_ops.h`.
    """

    bottom_count: ClassVar[Count] = Count(2)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for different numbers of elements."""
        if differ(product(bottoms[0]), product(bottoms[1])):
            fail(f"{text(bottoms[0])} and {text(bottoms[1])} have different numbers of elements", field="input")
        return bottoms[1:]


@operator("ExpandDims")
@dataclass(frozen=True)
class ExpandDims(_Rearranged):
    """The input with new axes of extent 1 at the positions `dims` of the output.

    Shapes: k axes to k + the number of `dims`.

    Reference: `expand_squeeze_dims_op.h`.
    """

    dims: tuple[int, ...] = ()
    """The new axes, ascending."""

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 without `dims`, E103 for a negative one."""
        return cls(_dims(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis beyond those of the output."""
        shape = list(bottoms[0])
        if self.dims[-1] >= len(shape) + len(self.dims):
            fail(f"`dims` {text(self.dims)} is out of range for {len(shape)} axes", code="E103", field="dims")
        for axis in self.dims:
            shape.insert(axis, 1)
        return (tuple(shape),)


@operator("Squeeze")
@dataclass(frozen=True)
class Squeeze(_Rearranged):
    """The input without the axes `dims`, whose extents are 1.

    Shapes: k axes to k - the number of `dims`.

    Reference: `expand_squeeze_dims_op.h`.
    """

    dims: tuple[int, ...] = ()
    """The axes that are removed, ascending."""

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 without `dims`, E103 for a negative one."""
        return cls(_dims(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an axis with another extent than 1, E103 for one that is out of range."""
        x = bottoms[0]
        if self.dims[-1] >= len(x):
            fail(f"`dims` {text(self.dims)} is out of range for {len(x)} axes", code="E103", field="dims")
        for axis in self.dims:
            if differ(x[axis], 1):
                fail(f"axis {axis} of {text(x)} has extent {x[axis]}, expected 1", field="dims")
        return (tuple(extent for axis, extent in enumerate(x) if axis not in self.dims),)


def _dims(operator: Operator) -> tuple[int, ...]:
    """The argument `dims`, sorted and each once."""
    dims = tuple(sorted(set(operator.integers("dims"))))
    if not dims:
        operator.fail(f"`{operator.type}` requires the argument `dims`", "dims", code="E101")
    if dims[0] < 0:
        operator.fail(f"`dims` {text(dims)} has a negative axis", "dims")
    return dims


@operator("MergeDim")
@dataclass(frozen=True)
class MergeDim(_Rearranged):
    """The input with its first two axes joined.

    Shapes: (a, b, ...) to (a b, ...).

    Reference: `prepend_dim_op.h`.
    """

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for fewer than 2 axes."""
        x = bottoms[0]
        if len(x) < 2:
            fail(f"`MergeDim` expects at least 2 axes, got {text(x)}", field="input")
        return ((x[0] * x[1], *x[2:]),)


@operator("PrependDim")
@dataclass(frozen=True)
class PrependDim(_Rearranged):
    """The input with its first axis split in two, of which the first has extent `dim_size`.

    Shapes: (dim_size n, ...) to (dim_size, n, ...).

    Reference: `prepend_dim_op.h`.
    """

    dim_size: int = 0
    """The extent of the new first axis."""

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 unless `dim_size` is positive."""
        size = operator.integer("dim_size")
        if size <= 0:
            operator.fail(f"`dim_size: {size}` is not positive", "dim_size")
        return cls(size)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a first axis that is not divisible."""
        x = bottoms[0]
        if not x or x[0] % self.dim_size:
            fail(f"the first axis of {text(x)} is not a multiple of `dim_size: {self.dim_size}`", field="input")
        return ((self.dim_size, x[0] // self.dim_size, *x[1:]),)
