"""Eltwise of FlowNet2 with one bottom: the product with a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.diagnostics import counted
from netc.ir.layer import Layer, Mode, fail
from netc.ir.traits import Elements, Role, Sees
from netc.layers._registry import LayerUse, register

if TYPE_CHECKING:
    from torch import Tensor


def has_one_bottom(use: LayerUse) -> bool:
    """Whether the layer has one bottom and a `coeff`."""
    return use.bottoms == 1 and "coeff" in use.parameters.message("eltwise_param")


@register("Eltwise", dialect="flownet2", field="eltwise_param", when=has_one_bottom)
@dataclass(frozen=True)
class ScaledBottom(Layer):
    """The bottom times a number. FlowNet2 allows a sum of one bottom; BVLC's layer expects two.

    Shapes: any, kept.

    >>> ScaledBottom(coeff=(0.05,)).infer(((2, 3, 5),), 1)
    ((2, 3, 5),)

    Reference: `eltwise_layer.cpp`, `eltwise_layer.hpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    operation: Literal["SUM"] = "SUM"
    """The only operation of one bottom."""
    coeff: tuple[float, ...] = (1.0,)
    """The number."""

    in_place = True
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"
    elements: ClassVar[Elements] = "scaled"

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """If the number is positive."""
        return self.coeff[0] > 0

    def __post_init__(self) -> None:
        """Raises NetcError E101 for several numbers, E103 for another operation."""
        if self.operation != "SUM":
            fail(f"`{self.operation}` needs at least 2 bottoms", code="E103", field="operation")
        if len(self.coeff) != 1:
            fail(f"{counted(len(self.coeff), 'value')} of `coeff` for 1 bottom", code="E101", field="coeff")

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """One multiplication per element."""
        return bottoms[0] * self.coeff[0]
