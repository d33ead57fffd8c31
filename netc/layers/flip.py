"""Flip: reverses axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Layer, Mode, Shapes
from netc.ir.traits import Elements
from netc.layers._axes import axis_of
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Flip", dialect="happynear", field="flip_param")
@dataclass(frozen=True)
class Flip(Layer):
    """Reverses the order of the elements along axes.

    Shapes: any, kept.

    >>> Flip().infer(((2, 3, 4, 5),), 1)
    ((2, 3, 4, 5),)

    Reference: `flip_layer.cpp` of happynear's Caffe, with `flip_width` and `flip_height`, and of others, with `axis`.
    """

    axes: tuple[int, ...] = (3,)
    """The axes that are reversed."""

    caffe_fields: ClassVar[CaffeFields] = {
        "axes": ("flip_param.flip_width", "flip_param.flip_height", "flip_param.axis")
    }
    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """By `axis` if it is given."""
        p = layer.message("flip_param")
        if "axis" in p:
            return cls((p["axis"],))
        given = ((2, p.get("flip_height", False)), (3, p.get("flip_width", True)))
        return cls(tuple(axis for axis, flips in given if flips))

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message."""
        if set(self.axes) <= {2, 3}:
            return {"flip_width": 3 in self.axes, "flip_height": 2 in self.axes}
        return {"axis": self.axes[0]}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an axis that the bottom lacks."""
        for axis in self.axes:
            axis_of(axis, bottoms[0])
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """None: elements are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """By the function of torch."""
        return bottoms[0].flip(self.axes)
