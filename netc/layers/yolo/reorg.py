"""Reorg: places become channels, in darknet's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape, differ, text
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements
from netc.layers._registry import LayerUse, register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor


@register("Reorg", dialect="mobilenet_yolo", field="reorg_param")
@dataclass(frozen=True)
class Reorg(Layer):
    """Rearranges places into channels as darknet's layer of that name; with `reverse`, channels into places.

    The elements are those of a bottom that is read as (n, c / s^2, h s, w s): channel (i s + j) c / s^2 + k holds the
    places (i, j) of the squares of s by s in channel k. The result is then read as (n, c s^2, h / s, w / s). It is not
    the order of torch's pixel_unshuffle.

    Shapes: (n, c, h, w) to (n, c s^2, h / s, w / s); with `reverse` to (n, c / s^2, h s, w s).

    >>> Reorg(stride=2).infer(((1, 64, 26, 26),), 1), Reorg(stride=2, reverse=True).infer(((1, 256, 13, 13),), 1)
    (((1, 256, 13, 13),), ((1, 64, 26, 26),))

    Reference: `reorg_layer.cpp` of MobileNet-YOLO, whose backward pass reads an unset buffer; the gradient here is the
    inverse order.
    """

    stride: int = 1
    """Extent s of the squares."""
    reverse: bool = False
    """Whether channels become places."""

    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 or E103 if the extents are not multiples of the stride."""
        positive((self.stride,), "stride")
        shape, square = bottoms[0], self.stride**2
        if len(shape) != 4:
            fail(f"expected a bottom with 4 axes, got {text(shape)}", field="bottom")
        n, c, h, w = shape
        if differ(c % square, 0):
            fail(f"{c} channels are not a multiple of {square}, the square of `stride`", field="stride")
        if self.reverse:
            return ((n, c // square, h * self.stride, w * self.stride),)
        if any(differ(extent % self.stride, 0) for extent in (h, w)):
            fail(f"extents of {text(shape[2:])} are not multiples of `stride` {self.stride}", field="stride")
        return ((n, c * square, h // self.stride, w // self.stride),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x, s = bottoms[0], self.stride
        n, c, h, w = x.shape
        if self.reverse:
            y = x.reshape(n, s, s, c // s**2, h, w).permute(0, 3, 4, 1, 5, 2)
        else:
            y = x.reshape(n, c // s**2, h, s, w, s).permute(0, 3, 5, 1, 2, 4)
        return y.clone(memory_format=torch.contiguous_format).reshape(self._top((n, c, h, w)))

    def _top(self, shape: Shape) -> Shape:
        n, c, h, w = shape
        s = self.stride
        return (n, c // s**2, h * s, w * s) if self.reverse else (n, c * s**2, h // s, w // s)


def without_stride(use: LayerUse) -> bool:
    """Whether a Reorg layer relies on the default stride: yolo9000's is 2, MobileNet-YOLO's 1."""
    return not any(name in use.parameters.message("reorg_param") for name in ("stride", "reverse"))


@register("Reorg", dialect="yolo9000", field="reorg_param", when=without_stride)
@dataclass(frozen=True)
class ReorgOfYolo9000(Reorg):
    """Reorg with a default stride of 2.

    Chosen if neither `stride` nor `reverse` is set.

    Shapes: (n, c, h, w) to (n, c s^2, h / s, w / s).

    >>> ReorgOfYolo9000().infer(((1, 64, 26, 26),), 1)
    ((1, 256, 13, 13),)

    Reference: `reorg_layer.cpp` of yolo9000's Caffe.
    """

    stride: int = 2
    """Extent s of the squares."""


@register("ReorgYolo", dialect="openvino", field="reorg_yolo_param")
@dataclass(frozen=True)
class ReorgYolo(Layer):
    """Rearranges places into channels, as Reorg does.

    Shapes: (n, c, h, w) to (n, c s^2, h / s, w / s).

    >>> ReorgYolo(stride=2).infer(((1, 64, 26, 26),), 1)
    ((1, 256, 13, 13),)

    Reference: `reorg_yolo_layer.cpp` of OpenVINO's Caffe, which does not train it; the gradient here is the inverse
    order.
    """

    stride: int = 1
    """Extent s of the squares."""

    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 or E103 if the extents are not multiples of the stride."""
        return Reorg(self.stride).infer(bottoms, tops)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as by Reorg."""
        return Reorg(self.stride).forward(bottoms, weights, mode)
