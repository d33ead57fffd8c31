"""DeformableConvolution: a convolution whose samples are moved by predicted offsets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Mode, Shapes, fail
from netc.layers._nd_convolution import Windows
from netc.layers._registry import register
from netc.layers._windows import positive, window_fields
from netc.layers.convolution import SlidingKernel, windows_that_fit

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE = 4
"""Axes of both bottoms."""


@register("DeformableConvolution", dialect="deformable", field="deformable_convolution_param")
@dataclass(frozen=True)
class DeformableConvolution(SlidingKernel):
    """Convolves an image with learned kernels, each of whose elements is moved at each position by an offset.

    Samples are bilinear. One outside the image, which extends from 0 to below its height and width, is 0; between the
    last row or column and that limit it is as at the last. The channels are divided into `deformable_group` groups with
    offsets of their own: for each, and for each element of a kernel, channels of vertical and of horizontal offsets.

    Shapes: (n, c, h, w) and offsets (n, 2 deformable_group kh kw, oh, ow) to (n, num_output, oh, ow),
    oh = (h + 2 pad - dilation (kernel - 1) - 1) / stride + 1.

    >>> DeformableConvolution(96, (3,), pad=(1,)).infer(((1, 64, 38, 63), (1, 72, 38, 63)), 1)
    ((1, 96, 38, 63),)

    Reference: `deformable_conv_layer.cu` and `deformable_im2col.cu` of the Caffe ports of Dai et al., Deformable
    Convolutional Networks, 2017. They want offsets of the image's extents, which is the same with a stride of 1 and
    kernels that fit the padding, and read others' wrongly.
    """

    group: int = 4
    """Number of groups that the channels are divided into, each with its own kernels."""
    deformable_group: int = 4
    """Number of groups of channels with offsets of their own."""

    message: ClassVar[str] = "deformable_convolution_param"
    caffe_fields: ClassVar[CaffeFields] = window_fields("deformable_convolution_param")
    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1)
    same_count: ClassVar[bool] = False

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Resolves the two spellings of the window. Raises NetcError E101, E103."""
        count = layer.message(cls.message)["deformable_group"]
        positive((count,), "deformable_group")
        return dataclasses.replace(super().from_caffe(layer), deformable_group=count)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if windows, groups and bottoms do not match."""
        image, offsets = bottoms
        if len(image) != IMAGE or self.axis != 1:
            fail(f"expected a bottom with {IMAGE} axes, and channels on axis 1, got {text(image)}", field="bottom")
        if differ(image[1] % self.deformable_group, 0):
            fail(
                f"the number of channels, {image[1]}, is not a multiple of `deformable_group` {self.deformable_group}",
                field="deformable_group",
            )
        (top,) = super().infer((image,), tops)
        channels = 2 * self.deformable_group * product(self.windows(2).kernel)
        expected = (image[0], channels, *top[2:])
        if len(offsets) != IMAGE or any(map(differ, offsets, expected)):
            fail(
                f"expected offsets {text(expected)}, two for each element of a kernel in "
                f"{self.deformable_group} groups at each position, got {text(offsets)}",
                field="bottom",
            )
        return (top,)

    def _extents(self, bottom: Shape) -> Shape:
        return windows_that_fit(bottom, self.windows(len(bottom)))

    def _channels(self, channels: int) -> Shape:
        return (self.num_output, channels // self.group)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per weight and output position, and eight operations per sample."""
        weight = self.weights(bottoms)[0].shape
        samples = bottoms[0][0] * bottoms[0][1] * product(weight[2:]) * product(tops[0][2:])
        return Cost(macs=product(tops[0]) * product(weight[1:]), operations=8 * samples)

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """None."""
        return None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring, without waiting for a GPU."""
        image, offsets = bottoms
        n, (oh, ow) = image.shape[0], offsets.shape[2:]
        windows = self.windows(2)
        columns = self._columns(image, offsets, windows)
        kernels = weights[0].reshape(self.group, -1, product(weights[0].shape[1:]))
        top = kernels @ columns.reshape(n, self.group, kernels.shape[2], oh * ow)
        top = top.reshape(n, self.num_output, oh, ow)
        return (top + weights[1][:, None, None] if self.bias_term else top,)

    def _columns(self, image: Tensor, offsets: Tensor, windows: Windows) -> Tensor:
        """The samples (n, groups, c / groups, kh kw oh ow)."""
        import torch

        from netc.functions.points import sampled

        n, groups = image.shape[0], self.deformable_group
        moves = offsets.reshape(n, groups, *windows.kernel, 2, *offsets.shape[2:]).unbind(4)
        places = []
        for axis, (move, kernel, stride, pad, dilation) in enumerate(zip(moves, *vars(windows).values())):
            start = torch.arange(offsets.shape[2 + axis], device=offsets.device) * stride - pad
            grid = torch.arange(kernel, device=offsets.device)[:, None] * dilation + start
            places.append((move + (grid[:, None, :, None] if axis == 0 else grid[:, None])).flatten(2))
        return sampled(image.reshape(n, groups, -1, *image.shape[2:]), *places)
