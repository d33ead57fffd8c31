"""Accum: several blobs of different sizes, enlarged to one size and concatenated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import UNKNOWN, ceil_div, known, product
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.optical_flow._planes import one_batch, planes

if TYPE_CHECKING:
    from torch import Tensor


@register("Accum", dialect="flownet2", field="accum_param")
@dataclass(frozen=True)
class Accum(Layer):
    """Resizes each bottom to one size by bilinear interpolation, and concatenates the channels.

    The corners of a bottom and of the top coincide. The size is that of the last bottom with `have_reference`, which
    is then not part of the top. Otherwise it is that of the largest bottom, or the one that the parameters set if it
    is larger in both directions.

    Shapes: (n, c1, h1, w1), (n, c2, h2, w2), ... to (n, c1 + c2 + ..., max h, max w).

    >>> Accum().infer(((2, 3, 4, 5), (2, 5, 7, 9)), 1)
    ((2, 8, 7, 9),)

    Reference: `accum_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    top_height: int = 0
    """Height of the top, used only if it and `top_width` exceed every bottom; 0 for the height of the largest."""
    top_width: int = 0
    """Width of the top; see `top_height`."""
    size_divisible_by: int = 0
    """The size is rounded up to a multiple of this number if both extents grow; 0 uses `top_height`, `top_width`."""
    have_reference: bool = False
    """Whether the last bottom only sets the size of the top."""

    bottom_count: ClassVar[Count] = Count(1, None)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """The reference."""
        return (-1,) if self.have_reference else ()

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms that do not fit each other."""
        planes("Accum", bottoms)
        if self.have_reference and len(bottoms) < 2:
            fail("`have_reference` requires at least 2 bottoms, got 1", field="bottom")
        parts = bottoms[:-1] if self.have_reference else bottoms
        one_batch(parts)
        return ((parts[0][0], sum((part[1] for part in parts[1:]), parts[0][1]), *self._size(bottoms)),)

    def _size(self, bottoms: Shapes) -> tuple[int, int]:
        if self.have_reference:
            return bottoms[-1][2], bottoms[-1][3]
        height, width = (_largest(bottom[axis] for bottom in bottoms) for axis in (2, 3))
        if self.size_divisible_by:
            wanted = tuple(ceil_div(e, self.size_divisible_by) * self.size_divisible_by for e in (height, width))
        else:
            wanted = (self.top_height, self.top_width)
        if not known(height) or not known(width):
            return UNKNOWN, UNKNOWN
        return (wanted[0], wanted[1]) if wanted[0] > height and wanted[1] > width else (height, width)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Four multiplications and three additions per element."""
        return Cost(operations=7 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Bilinear interpolation whose corners coincide."""
        import torch
        import torch.nn.functional as F

        size = self._size(tuple(tuple(bottom.shape) for bottom in bottoms))
        parts = bottoms[:-1] if self.have_reference else bottoms
        return torch.cat([F.interpolate(part, size, mode="bilinear", align_corners=True) for part in parts], 1)


def _largest(extents: Iterable[int]) -> int:
    listed = tuple(extents)
    return max(listed) if all(map(known, listed)) else UNKNOWN
