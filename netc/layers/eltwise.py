"""Eltwise: elementwise sum, product or maximum of bottoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.diagnostics import counted
from netc.ir.dims import product
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees, TopRead
from netc.layers._axes import agreed
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Eltwise", field="eltwise_param", v1="ELTWISE")
@dataclass(frozen=True)
class Eltwise(Layer):
    """The elementwise sum, product or maximum of its bottoms.

    The gradient of a maximum flows to one bottom: to the second of the first two if they are equal, and to a later one
    only if it is greater than all before it.

    Shapes: bottoms of equal shape, kept.

    >>> Eltwise(operation="SUM", coeff=(1, -1)).infer(((2, 3, 5), (2, 3, 5)), 1)
    ((2, 3, 5),)

    Reference: `eltwise_layer.cpp`.
    """

    operation: Literal["SUM", "PROD", "MAX"] = "SUM"
    """How the bottoms are combined."""
    coeff: tuple[float, ...] = ()
    """The factor of each bottom in a sum; empty where all are 1."""
    stable_prod_grad: bool = True
    """How Caffe computes the gradient of a product: by multiplying the other bottoms, or by dividing the top, which
    fails at 0. Has no effect in netc: they are always multiplied."""

    bottom_count: ClassVar[Count] = Count(2, None)
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """A maximum routes the gradient to the bottom that it equals."""
        return self.operation == "MAX"

    def reads_top(self, in_place: bool) -> TopRead:
        """The product, divided by each bottom, without `stable_prod_grad` (`eltwise_layer.cpp`, Backward_cpu)."""
        return "values" if self.operation == "PROD" and not self.stable_prod_grad else ""

    def __post_init__(self) -> None:
        """Raises NetcError E101 for coefficients of a product, E103 for an unknown operation."""
        if self.operation not in ("SUM", "PROD", "MAX"):
            fail(f"unknown operation `{self.operation}`", code="E103", field="operation")
        if self.operation == "PROD" and self.coeff:
            fail("`coeff` is not supported for a product", code="E101", field="coeff")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms differ in shape, E101 if `coeff` does not match them."""
        if self.coeff and len(self.coeff) != len(bottoms):
            fail(
                f"{counted(len(self.coeff), 'value')} of `coeff` for {counted(len(bottoms), 'bottom')}",
                code="E101",
                field="coeff",
            )
        return (agreed(bottoms),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per element for each bottom after the first, and one for each coefficient that is not 1."""
        factors = sum(c != 1 for c in self.coeff) if self.operation == "SUM" else 0
        return Cost(operations=product(tops[0]) * (len(bottoms) - 1 + factors))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Combines the bottoms in order. Raises NetcError E102 if shapes differ, where torch would broadcast."""
        if any(bottom.shape != bottoms[0].shape for bottom in bottoms):
            agreed(tuple(tuple(bottom.shape) for bottom in bottoms))
        if self.operation == "SUM":
            return self._sum(bottoms)
        return self._product(bottoms) if self.operation == "PROD" else self._maximum(bottoms)

    def _sum(self, bottoms: Sequence[Tensor]) -> Tensor:
        coeff = self.coeff or (1,) * len(bottoms)
        top = bottoms[0] if coeff[0] == 1 else bottoms[0] * coeff[0]
        for bottom, factor in zip(bottoms[1:], coeff[1:]):
            top = top.add(bottom, alpha=factor)
        return top

    def _product(self, bottoms: Sequence[Tensor]) -> Tensor:
        top = bottoms[0]
        for bottom in bottoms[1:]:
            top = top * bottom
        return top

    def _maximum(self, bottoms: Sequence[Tensor]) -> Tensor:
        import torch

        # torch.maximum would split the gradient between equal elements
        top = torch.where(bottoms[0] > bottoms[1], bottoms[0], bottoms[1])
        for bottom in bottoms[2:]:
            top = torch.where(bottom > top, bottom, top)
        return top
