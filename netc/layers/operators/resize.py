"""Planes at another size: ResizeNearest, UpsampleNearest, UpsampleBilinear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, Shape, known, text
from netc.ir.layer import Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer, check_axes, check_shape
from netc.layers._operators import operator
from netc.layers.operators._windows import Order, channels_first, in_order, order_of, split

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Scaled(OperatorLayer):
    """An operator whose output has floor(extent * scale) rows and columns, computed in float32."""

    height_scale: float = 1.0
    """The factor of the height, unless there is a second input."""
    width_scale: float = 1.0
    """The factor of the width, unless there is a second input."""
    order: Order = "NCHW"
    """The order of the axes; NHWC has the channels last."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    has_order: ClassVar[bool] = True
    """Whether the operator reads `order`."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read both factors. Raises NetcError E103 unless they are positive."""
        for name in ("height_scale", "width_scale"):
            if not operator.real(name, 1.0) > 0:
                operator.fail(f"`{name}` is {operator.real(name):g}, expected a positive number", name)
        order = order_of(operator) if cls.has_order else "NCHW"
        return cls(operator.real("height_scale", 1.0), operator.real("width_scale", 1.0), order)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a number of axes other than 4. A second input leaves the extents unknown."""
        check_axes(self.type, bottoms[0], 4)
        n, c, spatial = split(bottoms[0], self.order)
        y: Shape = (UNKNOWN, UNKNOWN)
        if len(bottoms) > 1:
            check_shape(self.type, bottoms[1], (2,), 1)
        else:
            y = tuple(map(scaled, spatial, (self.height_scale, self.width_scale)))
            if any(extent < 1 for extent in y):
                fail(f"the output would have the extents {text(y)}", field="input")
        return ((n, c, *y) if self.order == "NCHW" else (n, *y, c),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x, scales = channels_first(bottoms[0], self.order), (self.height_scale, self.width_scale)
        if len(bottoms) > 1:
            height, width = bottoms[1].tolist()
            scales = height, width
            if not all(scale > 0 and scaled(e, scale) > 0 for e, scale in zip(x.shape[2:], scales)):
                fail(f"the factors {height:g} and {width:g} leave no elements", code="E301", field="input")
        return in_order(self.resized(x, scales), self.order)

    def resized(self, x: Tensor, scales: tuple[float, float]) -> Tensor:
        """The planes of (n, c, h, w) at another size."""
        raise NotImplementedError


def scaled(extent: int, scale: float) -> int:
    """floor(extent * scale), computed in float32.

    >>> scaled(7, 1.5), scaled(10, 0.7)
    (10, 7)
    """
    import numpy as np

    return int(np.float32(extent) * np.float32(scale)) if known(extent) else UNKNOWN


@operator("ResizeNearest")
@dataclass(frozen=True)
class ResizeNearest(_Scaled):
    """Each element is that at floor(place / scale), at most the last one.

    Shapes: (n, c, h, w), and perhaps the two factors of height and width, to (n, c, floor(h height_scale), floor(w
    width_scale)), or with the channels last in the order NHWC.

    >>> ResizeNearest(2.0, 1.5).infer(((1, 3, 4, 5),), 1)
    ((1, 3, 8, 7),)

    Reference: `resize_op.cc`.
    """

    def resized(self, x: Tensor, scales: tuple[float, float]) -> Tensor:
        """The nearest elements; the places are computed in float32, as in Caffe2."""
        import numpy as np
        import torch

        for axis, scale in zip((2, 3), scales):
            extent = x.shape[axis]
            if scale == 1:
                continue
            if scale == int(scale):
                x = x.repeat_interleave(int(scale), axis)
                continue
            places = np.arange(scaled(extent, scale), dtype=np.float32) / np.float32(scale)
            sources = np.minimum(places.astype(np.int64), extent - 1)
            x = x.index_select(axis, torch.from_numpy(sources).to(x.device))
        return x


@operator("UpsampleBilinear")
@dataclass(frozen=True)
class UpsampleBilinear(_Scaled):
    """Bilinear interpolation; corner elements keep their values.

    Shapes: (n, c, h, w), and perhaps the two factors of height and width, to (n, c, floor(h height_scale), floor(w
    width_scale)).

    >>> UpsampleBilinear(2.0, 2.0).infer(((1, 3, 4, 5),), 1)
    ((1, 3, 8, 10),)

    Reference: `upsample_op.cc`.
    """

    overwritable: ClassVar[bool] = True
    has_order: ClassVar[bool] = False

    def resized(self, x: Tensor, scales: tuple[float, float]) -> Tensor:
        """The interpolated planes."""
        import torch.nn.functional as F

        size = [scaled(extent, scale) for extent, scale in zip(x.shape[2:], scales)]
        return F.interpolate(x, size, mode="bilinear", align_corners=True)


@operator("UpsampleNearest")
@dataclass(frozen=True)
class UpsampleNearest(OperatorLayer):
    """Each element repeated `scale` times along both axes of the plane.

    Shapes: (n, c, h, w) to (n, c, scale h, scale w), or the same without n.

    >>> UpsampleNearest().infer(((1, 3, 4, 5),), 1)
    ((1, 3, 8, 10),)

    Reference: Detectron's `upsample_nearest_op.h`.
    """

    scale: int = 2
    """The factor of height and width."""

    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 unless `scale` is positive."""
        scale = operator.integer("scale", 2)
        if scale < 1:
            operator.fail(f"`scale` is {scale}, expected a positive number", "scale")
        return cls(scale)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a number of axes other than 3 and 4."""
        (x,) = bottoms
        if len(x) not in (3, 4):
            fail(f"input 0 of `{self.type}` has shape {text(x)}, expected 3 or 4 axes", field="input")
        shape: Shape = (*x[:-2], x[-2] * self.scale, x[-1] * self.scale)
        return (shape,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        (x,) = bottoms
        planes = x if x.dim() == 4 else x.unsqueeze(0)
        size = [extent * self.scale for extent in planes.shape[2:]]
        y = F.interpolate(planes, size, mode="nearest")
        return y if x.dim() == 4 else y.squeeze(0)
