"""Slices of a blob that are updated in place: ScatterAssign, ScatterWeightedSum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import FLOAT, INTEGERS, OperatorLayer, common_dtype, require_in_place
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_ASSIGNED: frozenset[DType] = frozenset(("float32", "float16", "uint8", "int32", "int64"))


def _check_slices(x: tuple[int, ...], indices: tuple[int, ...], slices: tuple[int, ...], index: int) -> None:
    """Raise NetcError E102 unless an input has as many elements as there are in the slices with the indices."""
    if not x:
        fail("expected a first input with at least 1 axis, got a scalar", field="input")
    expected = product(indices) * product(x[1:])
    if differ(product(slices), expected):
        fail(f"input {index} has shape {text(slices)}, expected {expected} elements", field="input")


@operator("ScatterAssign")
@dataclass(frozen=True)
class ScatterAssign(OperatorLayer):
    """The first input with the slices of the third in the places that the indices in the second name.

    Of slices with the same index the last remains. The output is the first input's blob.

    Shapes: (n, ...), indices of k elements, k n-th parts of the first input to (n, ...).

    Reference: `utility_ops.h`.
    """

    bottom_count: ClassVar[Count] = Count(3)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (_ASSIGNED, INTEGERS, _ASSIGNED)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless the output is the first input's blob."""
        require_in_place(operator, 0)
        return cls()

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for slices with another number of elements."""
        _check_slices(bottoms[0], bottoms[1], bottoms[2], 2)
        return bottoms[:1]

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Raises NetcError E107 unless the slices have the type of the first input."""
        self.check_dtypes(bottoms)
        return (common_dtype("ScatterAssign", bottoms[::2]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for an index that is out of range."""
        x, indices, slices = bottoms
        mode.check_range(indices, 0, x.shape[0], "index")
        return x.index_copy(0, indices.long().flatten(), slices.reshape(indices.numel(), *x.shape[1:]))


@operator("ScatterWeightedSum")
@dataclass(frozen=True)
class ScatterWeightedSum(OperatorLayer):
    """The first input with w_0 times itself plus w_1 X_1 + w_2 X_2 + ... at the slices that the indices name.

    An index that occurs several times scales its slice by w_0 as often. The output is the first input's blob.

    Shapes: (n, ...), w_0 (1), indices of k elements, then pairs of k slices and a weight (1), to (n, ...).

    Reference: `utility_ops.h`.
    """

    bottom_count: ClassVar[Count] = Count(5, None)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, FLOAT, INTEGERS, FLOAT)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    no_gradient: ClassVar[tuple[int, ...]] = (2,)
    indices: ClassVar[tuple[int, ...]] = (2,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E020 for an even number of inputs, E023 unless the output is the first input's blob."""
        if len(operator.inputs) % 2 == 0:
            count = len(operator.inputs)
            operator.fail(f"`ScatterWeightedSum` expects an odd number of inputs, got {count}", "input", code="E020")
        require_in_place(operator, 0)
        return cls()

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for slices with another number of elements, and weights that are not one number."""
        x, _, indices = bottoms[:3]
        for index in range(3, len(bottoms), 2):
            _check_slices(x, indices, bottoms[index], index)
        for index in (1, *range(4, len(bottoms), 2)):
            if differ(product(bottoms[index]), 1):
                fail(f"weight {index} has shape {text(bottoms[index])}, expected one element", field="input")
        return bottoms[:1]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for an index that is out of range."""
        x, w0, indices = bottoms[:3]
        mode.check_range(indices, 0, x.shape[0], "index")
        places = indices.long().flatten()
        times = places.bincount(minlength=x.shape[0]).reshape(-1, *[1] * (x.dim() - 1))
        result = x * w0.reshape(()) ** times
        for slices, weight in zip(bottoms[3::2], bottoms[4::2]):
            result = result.index_add(0, places, slices.reshape(len(places), *x.shape[1:]) * weight.reshape(()))
        return result
