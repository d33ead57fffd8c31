"""Sums over rectangles that begin at the first element: IntegralImage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product
from netc.ir.layer import Cost, Count, Mode, Shapes
from netc.layers._operator_layer import OperatorLayer, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("IntegralImage")
@dataclass(frozen=True)
class IntegralImage(OperatorLayer):
    """The sum of the elements above and to the left of each corner between elements.

    The gradient is the derivative; Caffe2's gradient operator sums over the wrong side.

    Shapes: (n, c, h, w) to (n, c, h + 1, w + 1).

    Reference: `integral_image_op.cc`.
    """

    bottom_count: ClassVar[Count] = Count(1)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the input has 4 axes."""
        check_axes(self.type, bottoms[0], 4)
        n, c, h, w = bottoms[0]
        return ((n, c, h + 1, w + 1),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Two additions per element."""
        return Cost(operations=2 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.pad(bottoms[0].cumsum(3).cumsum(2), (1, 0, 1, 0))
