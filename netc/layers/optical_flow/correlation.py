"""Correlation and Correlation1D: how well patches of one blob match those of another, for each displacement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from netc.ir.dims import ceil_div, product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._axes import agreed
from netc.layers._registry import register
from netc.layers._windows import positive
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PatchMatching(Layer):
    """Base of both: the parameters of `correlation_param`, and the patches along each axis."""

    kernel_size: int
    """Height and width of a patch: odd."""
    max_displacement: int
    """Largest displacement in pixels."""
    pad: int = 0
    """Zeros on both sides."""
    stride_1: int = 1
    """Distance between patches of the first bottom."""
    stride_2: int = 1
    """Distance between displacements."""
    correlation_type: Literal["MULTIPLY", "SUBTRACT"] = "MULTIPLY"
    """Whether elements are multiplied, or the absolute difference is taken."""

    bottom_count: ClassVar[Count] = Count(2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for a missing parameter, E103 for an invalid one; `do_abs` has no effect."""
        p = layer.message("correlation_param")
        for name in ("kernel_size", "max_displacement"):
            if name not in p:
                fail(f"`{name}` is missing", code="E101")
        result = super().from_caffe(layer)
        result._check()
        return result

    def _check(self) -> None:
        positive((self.stride_1, self.stride_2), "stride")
        if self.kernel_size % 2 == 0:
            fail(f"`kernel_size` is {self.kernel_size}: it must be odd", code="E103", field="kernel_size")
        if (2 * (self.max_displacement // self.stride_2) + 1) ** 2 > 2**20:
            fail(f"`max_displacement` of {self.max_displacement} is too large", code="E103", field="max_displacement")

    def displacements(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The vertical and the horizontal displacements, in pixels and in the order of the top's channels."""
        raise NotImplementedError

    def pads(self) -> tuple[int, int]:
        """Zeros above and below, and at both sides."""
        raise NotImplementedError

    def borders(self) -> tuple[int, int]:
        """Rows and columns of the padded plane before the first patch."""
        raise NotImplementedError

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms of different shapes, and if no patch with its displacements fits."""
        n, _, *plane = agreed(planes(self.type, bottoms))
        radius, extents = self.kernel_size // 2, []
        for extent, pad, border in zip(plane, self.pads(), self.borders()):
            count = ceil_div(extent + 2 * pad - 2 * (border + radius), self.stride_1)
            if count < 1:
                fail(
                    f"an extent of {extent}, padded by {pad}, is too short for a kernel of {self.kernel_size} and "
                    f"displacements of up to {border}",
                    field="max_displacement",
                )
            extents.append(count)
        rows, columns = self.displacements()
        return ((n, len(rows) * len(columns), *extents),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add, or three operations, for each element of a patch and each element of the top."""
        elements = product(tops[0]) * bottoms[0][1] * self.kernel_size**2
        return Cost(macs=elements) if self.correlation_type == "MULTIPLY" else Cost(operations=3 * elements)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Elements are matched once for each displacement; patches are means of them."""
        import torch.nn.functional as F

        from netc.layers.optical_flow._displacements import differences, products

        (n, _, h, w), pads, borders = bottoms[0].shape, self.pads(), self.borders()
        rows, columns = self.displacements()
        step = self.stride_1 if self.kernel_size == 1 else 1
        plane = [ceil_div(e + 2 * p - 2 * b, step) for e, p, b in zip((h, w), pads, borders)]
        match = products if self.correlation_type == "MULTIPLY" else differences
        each = match(bottoms[0], bottoms[1], pads, borders, rows, columns, plane, step).reshape(n, -1, *plane)
        return each if self.kernel_size == 1 else F.avg_pool2d(each, self.kernel_size, self.stride_1)


@register("Correlation", dialect="flownet2", field="correlation_param")
@dataclass(frozen=True)
class Correlation(PatchMatching):
    """The mean product of a patch of the first bottom and each displaced patch of the second, one channel each.

    Displacements are the multiples of `stride_2` up to `max_displacement` in both directions, row by row. With
    `SUBTRACT` it is the mean absolute difference, whose gradient FlowNet2 computes with the signs of elements at other
    positions; here it is the derivative.

    Shapes: (n, c, h, w) twice to (n, (2 (max_displacement / stride_2) + 1)^2, oh, ow), oh = ceil((h + 2 pad
    - 2 (max_displacement + (kernel_size - 1) / 2)) / stride_1).

    >>> Correlation(1, 20, pad=20, stride_2=2).infer(((1, 256, 48, 64), (1, 256, 48, 64)), 1)
    ((1, 441, 48, 64),)

    Reference: `correlation_layer.cu` of FlowNet2 (lmb-freiburg/flownet2); Dosovitskiy et al., FlowNet: Learning Optical
    Flow with Convolutional Networks, 2015.
    """

    def displacements(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The same in both directions."""
        radius = self.max_displacement // self.stride_2
        steps = tuple(self.stride_2 * step for step in range(-radius, radius + 1))
        return steps, steps

    def pads(self) -> tuple[int, int]:
        """The same on all sides."""
        return self.pad, self.pad

    def borders(self) -> tuple[int, int]:
        """The same in both directions."""
        return self.max_displacement, self.max_displacement


@register("Correlation1D", dialect="flownet2", field="correlation_param")
@dataclass(frozen=True)
class Correlation1D(PatchMatching):
    """The mean product of a patch of the first bottom and each patch of the second beside it, for disparities.

    Displacements are horizontal; nothing is padded above and below. `SUBTRACT` is as in Correlation.

    Shapes: (n, c, h, w) twice to (n, 2 (max_displacement / stride_2) + 1, oh, ow), or max_displacement / stride_2 + 1
    channels in a single direction; ow as in Correlation, oh = ceil((h - kernel_size + 1) / stride_1).

    >>> Correlation1D(1, 40, pad=40, single_direction=-1).infer(((1, 128, 48, 96), (1, 128, 48, 96)), 1)
    ((1, 41, 48, 96),)

    Reference: `correlation_layer1d.cu` of FlowNet2 (lmb-freiburg/flownet2); Mayer et al., A Large Dataset to Train
    Convolutional Networks for Disparity, Optical Flow, and Scene Flow Estimation, 2016.
    """

    single_direction: Literal[-1, 0, 1] = 0
    """Displacements to the left only (-1, without 0, and one more), to the right only (1), or in both directions."""

    def _check(self) -> None:
        super()._check()
        if self.single_direction not in (-1, 0, 1):
            fail(f"`single_direction` is {self.single_direction}: expected -1, 0 or 1", code="E103")

    def displacements(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """None vertically; beyond the padding at the left, the second bottom is zero."""
        radius = self.max_displacement // self.stride_2
        first, last = {-1: (-radius - 1, -1), 0: (-radius, radius), 1: (0, radius)}[self.single_direction]
        return (0,), tuple(self.stride_2 * step for step in range(first, last + 1))

    def pads(self) -> tuple[int, int]:
        """At the sides only."""
        return 0, self.pad

    def borders(self) -> tuple[int, int]:
        """At the sides only."""
        return 0, self.max_displacement
