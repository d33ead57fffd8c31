"""SPP: concatenated pooling over successively finer grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import agree, ceil_div, known, product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register
from netc.layers._windows import positive
from netc.layers.pooling import Method, Pooling

if TYPE_CHECKING:
    from torch import Tensor

MAX_LEVELS = 16
"""Levels whose bins are fewer than the elements of Caffe's largest blob, (4**16 - 1) / 3; 17 levels have more."""


@register("SPP", field="spp_param")
@dataclass(frozen=True)
class SPP(Layer):
    """Pools the whole plane into 1, 2 x 2, 4 x 4, ... bins and concatenates them: a vector for any input size.

    Shapes: (n, c, h, w) to (n, c (1 + 4 + ... + 4 ** (pyramid_height - 1))); a pyramid of one level has shape
    (n, c, 1, 1), as in Caffe.

    >>> SPP(pyramid_height=3).infer(((2, 5, 13, 9),), 1)
    ((2, 105),)

    Reference: He et al., Spatial Pyramid Pooling in Deep Convolutional Networks, 2014; `spp_layer.cpp`.
    """

    pyramid_height: int
    """Number of levels; level i has 2**i by 2**i bins."""
    pool: Method = "MAX"
    """How each bin is reduced."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message. Raises NetcError E103, E104."""
        result = super().from_caffe(layer)
        positive((result.pyramid_height,), "pyramid_height")
        if result.pyramid_height > MAX_LEVELS:
            message = f"`pyramid_height` is {result.pyramid_height}: a blob cannot hold more than {MAX_LEVELS} levels"
            fail(message, code="E104", field="pyramid_height")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if a plane cannot be divided into the bins."""
        (bottom,) = bottoms
        if len(bottom) != 4:
            fail(f"`SPP` expects a bottom with 4 axes (n, c, h, w), got {len(bottom)}", field="bottom")
        for extent in bottom[2:]:
            if agree(extent, 0):
                fail("a plane without elements", field="bottom")
            for level in range(self.pyramid_height):
                self._side(extent, level)
        if self.pyramid_height == 1:
            return ((bottom[0], bottom[1], 1, 1),)
        return ((bottom[0], bottom[1] * sum(4**level for level in range(self.pyramid_height))),)

    def _side(self, extent: int, level: int) -> tuple[int, int]:
        """Return kernel and padding of a level along one axis; the windows do not overlap."""
        bins = 2**level
        kernel = ceil_div(extent, bins)
        pad = (kernel * bins - extent + 1) // 2
        if pad and pad >= kernel:
            fail(
                f"{counted(bins, 'bin')} of a plane of {extent}: padding of "
                f"{pad} is not less than the kernel of {kernel}",
                field="pyramid_height",
            )
        if pad and self.pool == "STOCHASTIC" and known(extent):
            fail(
                f"dividing a plane of {extent} into {counted(bins, 'bin')} "
                "needs padding, which `STOCHASTIC` does not support",
                field="pool",
            )
        return kernel, pad

    def level(self, h: int, w: int, level: int) -> Pooling:
        """Return the pooling of one level for a plane of h by w. Raises NetcError E102."""
        (kernel_h, pad_h), (kernel_w, pad_w) = self._side(h, level), self._side(w, level)
        kernel = (kernel_h, kernel_w)
        return Pooling(self.pool, kernel, kernel, (pad_h, pad_w))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison or addition per element and level."""
        return Cost(operations=product(bottoms[0]) * self.pyramid_height)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The bins are computed from the actual input size."""
        import torch

        (x,) = bottoms
        single = Mode(mode.training, 1)
        levels: list[Tensor] = []
        for i in range(self.pyramid_height):
            top = self.level(x.shape[2], x.shape[3], i).forward((x,), (), single)
            assert isinstance(top, torch.Tensor), "a pooling without a mask returns one tensor"
            levels.append(top)
        return levels[0] if len(levels) == 1 else torch.cat([top.flatten(1) for top in levels], 1)
