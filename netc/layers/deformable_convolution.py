"""DeformableConvolution, whose samples are moved by predicted offsets, and its second version, which weights them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Mode, Shapes, fail
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
        image, offsets = bottoms[:2]
        n, (oh, ow) = image.shape[0], offsets.shape[2:]
        columns = self._columns(image.reshape(n, self.deformable_group, -1, *image.shape[2:]), bottoms)
        kernels = weights[0].reshape(self.group, -1, product(weights[0].shape[1:]))
        top = kernels @ columns.reshape(n, self.group, kernels.shape[2], oh * ow)
        top = top.reshape(n, self.num_output, oh, ow)
        return (top + weights[1][:, None, None] if self.bias_term else top,)

    def _columns(self, images: Tensor, bottoms: Sequence[Tensor]) -> Tensor:
        """The samples (n, groups, c / groups, kh kw oh ow) of images (n, groups, c / groups, h, w)."""
        from netc.functions.points import sampled

        return sampled(images, *self._places(bottoms[1]))

    def _places(self, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """The rows and the columns of the samples, each (n, groups, kh kw oh ow)."""
        import torch

        windows = self.windows(2)
        moves = offsets.reshape(offsets.shape[0], self.deformable_group, *windows.kernel, 2, *offsets.shape[2:])
        places = []
        for axis, (move, kernel, stride, pad, dilation) in enumerate(zip(moves.unbind(4), *vars(windows).values())):
            start = torch.arange(offsets.shape[2 + axis], device=offsets.device) * stride - pad
            grid = torch.arange(kernel, device=offsets.device)[:, None] * dilation + start
            places.append((move + (grid[:, None, :, None] if axis == 0 else grid[:, None])).flatten(2))
        return places[0], places[1]


@register("ModulatedDeformableConvolution", dialect="deformable", field="modulated_deformable_convolution_param")
@dataclass(frozen=True)
class ModulatedDeformableConvolution(DeformableConvolution):
    """As DeformableConvolution; each sample is multiplied by a predicted factor, and fades out beyond the image.

    Beyond the image are zeros, so that a bilinear sample less than one element outside is a part of one at the border.

    Shapes: (n, c, h, w), offsets (n, 2 deformable_group kh kw, oh, ow) and factors (n, deformable_group kh kw, oh, ow)
    to (n, num_output, oh, ow), oh = (h + 2 pad - dilation (kernel - 1) - 1) / stride + 1.

    >>> layer = ModulatedDeformableConvolution(96, (3,), pad=(1,))
    >>> layer.infer(((1, 64, 38, 63), (1, 18, 38, 63), (1, 9, 38, 63)), 1)
    ((1, 96, 38, 63),)

    Reference: `modulated_deformable_conv_layer.cu` and `modulated_deformable_im2col.cu` of zhanglonghao1992's
    Deformable-ConvNets-v1-v2-caffe; Zhu et al., Deformable ConvNets v2, 2019. It wants offsets and factors of the
    image's extents, which is the same with a stride of 1 and kernels that fit the padding. There the gradients of all
    images but the first are added at other places of the image.
    """

    group: int = 1
    """Number of groups that the channels are divided into, each with its own kernels."""
    deformable_group: int = 1
    """Number of groups of channels with offsets and factors of their own."""

    message: ClassVar[str] = "modulated_deformable_convolution_param"
    caffe_fields: ClassVar[CaffeFields] = window_fields("modulated_deformable_convolution_param")
    bottom_count: ClassVar[Count] = Count(3)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if windows, groups and bottoms do not match."""
        (top,) = super().infer(bottoms[:2], tops)
        factors = bottoms[2]
        expected = (top[0], self.deformable_group * product(self.windows(2).kernel), *top[2:])
        if len(factors) != IMAGE or any(map(differ, factors, expected)):
            fail(
                f"expected factors {text(expected)}, one for each element of a kernel in "
                f"{self.deformable_group} groups at each position, got {text(factors)}",
                field="bottom",
            )
        return (top,)

    def _columns(self, images: Tensor, bottoms: Sequence[Tensor]) -> Tensor:
        import torch.nn.functional as F

        from netc.functions.points import sampled

        rows, columns = self._places(bottoms[1])
        inside = (rows > -1) & (columns > -1)
        samples = sampled(F.pad(images, (1, 1, 1, 1)), rows + 1, columns + 1)
        factors = bottoms[2].reshape(rows.shape) * inside
        return samples * factors[:, :, None]
