"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape, product
from netc.ir.layer import Cost, Layer, Mode, Shapes
from netc.ir.receptive_field import ReceptiveFields
from netc.ir.traits import Role, TopRead
from netc.layers._axes import axis_of
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor, nn


@register("Softmax", field="softmax_param", v1="SOFTMAX")
@dataclass(frozen=True)
class Softmax(Layer):
    """exp(x) divided by the sum of exp(x) along `axis`.

    Shapes: any, kept.

    >>> Softmax().infer(((2, 10, 5, 7),), 1)
    ((2, 10, 5, 7),)

    Reference: `softmax_layer.cpp`.
    """

    axis: int = 1
    """The axis along which the results sum to 1."""

    in_place = True
    role: ClassVar[Role] = "score"

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """One position, unless the sum is over spatial positions."""
        return fields[0] if self.axis % len(top) < 2 else None

    def reads_top(self, in_place: bool) -> TopRead:
        """Its probabilities (`softmax_layer.cpp`, Backward_cpu)."""
        return "values"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottom does not have the axis."""
        axis_of(self.axis, bottoms[0])
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, subtraction, exponential, addition and division per element."""
        return Cost(operations=5 * product(tops[0]))

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Softmax."""
        from torch import nn

        return nn.Softmax(dim=self.axis)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].softmax(self.axis)
