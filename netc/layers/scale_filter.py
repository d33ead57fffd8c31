"""ScaleFilter: channels are scaled at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import text
from netc.ir.layer import Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("ScaleFilter", dialect="openvino", field="scale_filter_param")
@dataclass(frozen=True)
class ScaleFilter(Layer):
    """In training, multiplies each channel of each item by a random number; the identity in test.

    Shapes: (n, c, h, w), kept.

    >>> ScaleFilter(0.8, 1.25).infer(((2, 3, 4, 5),), 1)
    ((2, 3, 4, 5),)

    Reference: `scale_filter_layer.cpp` of OpenVINO's training toolbox for Caffe.
    """

    min_scale: float = 0.0
    """The smallest number, which must be positive."""
    max_scale: float = 0.0
    """The largest number."""

    in_place = True
    role: ClassVar[Role] = "inner"
    is_identity_in_test: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 unless the bounds are positive numbers in ascending order."""
        if not 0 < self.min_scale < self.max_scale < float("inf"):
            fail(
                f"`min_scale` {self.min_scale:g} must be positive, and less than `max_scale` {self.max_scale:g}",
                code="E103",
                field="min_scale",
            )

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom that is not planes."""
        if len(bottoms[0]) != 4:
            fail(f"expected planes (n, c, h, w), got {text(bottoms[0])}", field="bottom")
        return bottoms

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = bottoms[0]
        if not mode.training:
            return x
        return x * x.new_empty(*x.shape[:2], 1, 1).uniform_(self.min_scale, self.max_scale)
