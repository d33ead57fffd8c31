"""The maximum of each bin of regions of interest: RoIPool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import product
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer, check_axes, check_shape
from netc.layers._operators import operator
from netc.layers.detection._regions import split
from netc.layers.detection.roi_pooling import RoiPooling

if TYPE_CHECKING:
    from torch import Tensor


@operator("RoIPool")
@dataclass(frozen=True)
class RoiPoolOperator(OperatorLayer):
    """The maximum of each of `pooled_h` x `pooled_w` bins of each region, as Caffe's ROIPooling.

    The second output, without `is_test`, is where the maxima are: the row times the width, plus the column; -1 for
    empty bins, whose maximum is 0. The gradient, which only Caffe2's GPU code has, goes to these places.

    Shapes: features (n, c, h, w) and regions (r, 5), of image, x1, y1, x2, y2, to (r, c, pooled_h, pooled_w) and the
    same of type int32.

    >>> RoiPoolOperator(7, 7, 1 / 16).infer(((1, 512, 38, 63), (300, 5)), 1)
    ((300, 512, 7, 7), (300, 512, 7, 7))

    Reference: `roi_pool_op.cc`.
    """

    pooled_h: int = 1
    """Number of bins along the height."""
    pooled_w: int = 1
    """Number of bins along the width."""
    spatial_scale: float = 1.0
    """Factor from pixels of the image, in which regions are given, to positions of the features."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for NHWC, numbers that are not positive, and outputs that contradict `is_test`."""
        if operator.text("order", "NCHW").upper() != "NCHW":
            operator.fail("`RoIPool` supports only `order: NCHW`", "order")
        layer = cls(operator.integer("pooled_h", 1), operator.integer("pooled_w", 1), operator.real("spatial_scale", 1))
        for name in ("pooled_h", "pooled_w", "spatial_scale"):
            if not getattr(layer, name) > 0:
                operator.fail(f"`{name}: {getattr(layer, name)}` must be positive", name)
        expected = 1 if operator.flag("is_test") else 2
        if len(operator.outputs) != expected:
            which = "with" if expected == 1 else "without"
            message = f"`RoIPool` {which} `is_test` has {counted(expected, 'output')}, got {len(operator.outputs)}"
            operator.fail(message, "output")
        return layer

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for other bottoms."""
        check_axes("RoIPool", bottoms[0], 4)
        check_axes("RoIPool", bottoms[1], 2, 1)
        check_shape("RoIPool", bottoms[1], (bottoms[1][0], 5), 1)
        return ((bottoms[1][0], bottoms[0][1], self.pooled_h, self.pooled_w),) * 2

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32, int32."""
        self.check_dtypes(bottoms)
        return "float32", "int32"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per element of the features and four per bin, at most."""
        return Cost(operations=product(bottoms[0]) + 4 * product(tops[0]))

    def forward(
        self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Raises NetcError E301 for an image that does not exist."""
        from netc.functions.region_maximum import RegionMaximum, maximum_places

        x = bottoms[0]
        image, corners = split(bottoms[1], x.shape[0], mode)
        (left, right), (top, bottom) = RoiPooling(self.pooled_h, self.pooled_w, self.spatial_scale).edges(
            corners.to(x.dtype)
        )
        height, width = x.shape[2:]
        limits = ((top, height), (bottom, height), (left, width), (right, width))
        edges = [edge.clamp(0, extent).long() for edge, extent in limits]
        pooled: Tensor = RegionMaximum.apply(x, image, *edges)  # type: ignore[no-untyped-call]
        return pooled if mode.tops == 1 else (pooled, maximum_places(x, image, *edges))
