"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.layer import Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Role, Sees
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Dropout")
@dataclass(frozen=True)
class DropoutOperator(OperatorLayer):
    """Sets random elements to 0 and multiplies the others by 1 / (1 - ratio); with `is_test` the identity.

    Whether the net is in training does not matter, as in Caffe2. The second output is which elements were kept; with
    `is_test`, where Caffe2 does not write it, all.

    Shapes: any, kept, for both outputs.

    >>> DropoutOperator(ratio=0.3).infer(((2, 3),), 2)
    ((2, 3), (2, 3))

    Reference: `dropout_op.cc`.
    """

    ratio: float = 0.5
    """The probability that an element is set to 0."""
    is_test: bool = False
    """Whether nothing is dropped."""

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    role: ClassVar[Role] = "inner"
    keeps_sign: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 if `is_test` is missing."""
        operator.require("is_test")
        return super().from_caffe2(operator)

    def __post_init__(self) -> None:
        """Raises NetcError E103 unless the ratio is at least 0 and below 1."""
        if not 0 <= self.ratio < 1:
            fail(f"`ratio` is {self.ratio:g}: it must be at least 0 and below 1", code="E103", field="ratio")

    @property
    def top_count(self) -> Count:  # type: ignore[override]
        """Without `is_test` Caffe2 needs the second output."""
        return Count(1, 2) if self.is_test else Count(2)

    @property
    def is_identity_in_test(self) -> bool:  # type: ignore[override]
        """With `is_test`."""
        return self.is_test

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The shape of the input, twice."""
        return bottoms * 2

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The type of the input, and Booleans."""
        self.check_dtypes(bottoms)
        return (*bottoms, "bool")

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        if not self.is_test:
            kept, mask = torch.native_dropout(x, self.ratio, True)
            return kept, mask
        return x if mode.tops == 1 else (x, torch.ones((), dtype=torch.bool, device=x.device).expand(x.shape))
