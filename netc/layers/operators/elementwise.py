"""Functions of one input that are computed element by element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.layer import Mode
from netc.ir.traits import Sees
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Sqr")
@dataclass(frozen=True)
class Sqr(OperatorLayer):
    """The square of each element.

    Shapes: any, kept.

    Reference: `sqr_op.cc`.
    """

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].square()
