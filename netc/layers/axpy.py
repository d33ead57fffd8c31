"""Axpy: a scaled sum whose factors belong to channels, for squeeze-and-excitation blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Axpy", dialect="senet", field="axpy_param")
@dataclass(frozen=True)
class Axpy(Layer):
    """The first bottom, one factor per item and channel, times the second, plus the third.

    Shapes: (n, c) or (n, c, 1, 1), then (n, c, ...) twice, to (n, c, ...).

    >>> Axpy().infer(((2, 8, 1, 1), (2, 8, 7, 7), (2, 8, 7, 7)), 1)
    ((2, 8, 7, 7),)

    Reference: `axpy_layer.cpp` of SENet's Caffe; Hu et al., Squeeze-and-Excitation Networks, 2017.
    """

    bottom_count: ClassVar[Count] = Count(3)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"
    rearranges: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        factors, scaled, added = bottoms
        if len(scaled) < 2:
            fail(f"expected a bottom with at least 2 axes, got {text(scaled)}", field="bottom")
        if differ(scaled, added):
            fail(f"bottoms to be added have different shapes: {text(scaled)}, {text(added)}", field="bottom")
        if len(factors) not in (2, 4) or differ(
            (*factors[:2], *factors[2:]), (*scaled[:2], *(1,) * (len(factors) - 2))
        ):
            fail(
                f"factors of shape {text(factors)} for a bottom of shape {text(scaled)}: expected {text(scaled[:2])}, "
                "with 2 axes of extent 1 after it or without",
                field="bottom",
            )
        return (scaled,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and one addition per element."""
        return Cost(operations=2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        factors, scaled, added = bottoms
        return factors.reshape(*scaled.shape[:2], *[1] * (scaled.dim() - 2)) * scaled + added
