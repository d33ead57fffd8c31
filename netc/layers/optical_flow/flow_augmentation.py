"""FlowAugmentation: the flow between two images that DataAugmentation transformed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.optical_flow import _coefficients as coefficients
from netc.layers.optical_flow._coefficients import SPATIAL, check_coefficients
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor


@register("FlowAugmentation", dialect="flownet2", field="augmentation_param")
@dataclass(frozen=True)
class FlowAugmentation(Layer):
    """The flow between two images after each was transformed by its own coefficients of augmentation.

    A position of the top is transformed into the first image, where the flow of the nearest pixel is added; the sum is
    transformed back from the second image. Positions outside the image read its border (FlowNet2 reads other memory).

    Shapes: a flow (n, 2, h, w), coefficients (n, 42, 1, 1) of the first and of the second image, to
    (n, 2, crop_height, crop_width).

    >>> FlowAugmentation(crop_width=5, crop_height=4).infer(((2, 2, 8, 9), (2, 42, 1, 1), (2, 42, 1, 1)), 1)
    ((2, 2, 4, 5),)

    Reference: `flow_augmentation_layer.cu` of FlowNet2 (lmb-freiburg/flownet2).
    """

    crop_width: int
    """Width of the top."""
    crop_height: int
    """Height of the top."""

    bottom_count: ClassVar[Count] = Count(3)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 without both sizes."""
        p = layer.message("augmentation_param")
        for name in ("crop_width", "crop_height"):
            if p[name] < 1:
                fail(f"`{name}` is missing", code="E101", help=f"set `augmentation_param {{ {name}: ... }}`")
        return super().from_caffe(layer)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms that are not a flow and two sets of coefficients."""
        n, c, *_ = planes(self.type, bottoms[:1])[0]
        if differ(c, 2):
            fail(f"a flow has 2 channels, got {c}", field="bottom")
        for bottom in bottoms[1:]:
            check_coefficients(self.type, bottom, n)
        return ((n, 2, self.crop_height, self.crop_width),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per element: two transformations."""
        return Cost(operations=10 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring, without a gradient, as in FlowNet2."""
        import torch

        with torch.no_grad():
            flow = bottoms[0]
            real = torch.promote_types(flow.dtype, torch.float32)
            first, second = (self._values(bottom.to(real)) for bottom in bottoms[1:])
            crop, size = (self.crop_height, self.crop_width), (flow.shape[2], flow.shape[3])
            across, down = coefficients.grid(crop, first["dx"])
            x, y = coefficients.moved(first, across, down, crop, size)
            moved = flow.flatten(2).gather(2, _places(x, y, size).flatten(1).unsqueeze(1).expand(-1, 2, -1))
            moved = moved.reshape(len(flow), 2, *crop).to(real)
            x, y = coefficients.moved_back(second, x + moved[:, 0], y + moved[:, 1], crop, size)
            return torch.stack((x - across, y - down), 1).to(flow.dtype)

    def _values(self, bottom: Tensor) -> dict[str, Tensor]:
        """Return the coefficients of transformations, each (n, 1, 1)."""
        found = coefficients.decoded(bottom.reshape(len(bottom), -1)[:, : len(SPATIAL)], SPATIAL)
        return {name: value.reshape(-1, 1, 1) for name, value in found.items()}


def _places(x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the indices of the pixels nearest to positions, in a plane."""
    columns, rows = (
        (position + 0.5).nan_to_num(0.0).clamp(0, extent - 1).long()
        for position, extent in ((x, size[1]), (y, size[0]))
    )
    return rows * size[1] + columns
