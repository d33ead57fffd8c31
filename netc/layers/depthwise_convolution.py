"""Depthwise convolutions of the MobileNet and ShuffleNet ports: each channel has kernels of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netc.ir.dims import Shape, differ
from netc.ir.fields import Fields
from netc.ir.layer import Count, Shapes, fail
from netc.layers._axes import axis_of
from netc.layers._registry import register
from netc.layers._windows import positive
from netc.layers.convolution import Convolution

IMAGE = 4
"""Axes of a bottom of ConvolutionDepthwise."""


@register("DepthwiseConvolution", dialect="mobilenet_yolo", field="convolution_param")
@dataclass(frozen=True)
class DepthwiseConvolution(Convolution):
    """Convolves each bottom with learned kernels in groups of channels, by default one channel per group.

    Shapes: (n, c, h, w) to (n, num_output, oh, ow), oh = (h + 2 pad - dilation (kernel - 1) - 1) / stride + 1.

    >>> layer = DepthwiseConvolution(num_output=32, kernel=(3,), pad=(1,))
    >>> layer.infer(((1, 32, 112, 112),), 1), layer.weights(((1, 32, 112, 112),))[0].shape
    (((1, 32, 112, 112),), (32, 1, 3, 3))

    Reference: `depthwise_conv_layer.cpp` of yonghenglh6's DepthwiseConvolution, also in MobileNet-YOLO. Its GPU code
    always has one channel per group; its CPU code without `group` has a single group.
    """

    group: int = 0
    """Number of groups that the channels are divided into; 0, the default, is the number of channels."""

    @classmethod
    def _group_in(cls, parameters: Fields) -> int:
        group: int = parameters.get("group", 0)
        return group

    def _check_channels(self) -> None:
        positive((self.num_output,), "num_output")

    def groups(self, channels: int) -> int:
        """Return `group`, or the number of channels."""
        return self.group or channels

    def inputs(self, weight: Shape) -> int:
        """Return the number of channels of the bottom for the shape of `weight`, at most one group per output."""
        return weight[1] * (self.group or weight[0])

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if windows, groups and bottoms do not match."""
        found = super().infer(bottoms, tops)
        groups = self.groups(bottoms[0][axis_of(self.axis, bottoms[0])])
        if differ(self.num_output % groups, 0):
            fail(f"`num_output` {self.num_output} is not a multiple of the {groups} groups", field="num_output")
        return found

    def _channels(self, channels: int) -> Shape:
        return (self.num_output, channels // self.group if self.group else 1)


@register("ConvolutionDepthwise", dialect="depthwise", field="convolution_param")
@dataclass(frozen=True)
class ConvolutionDepthwise(DepthwiseConvolution):
    """Convolves each channel of an image with one learned kernel of its own.

    Shapes: (n, c, h, w) to (n, c, oh, ow), oh = (h + 2 pad - dilation (kernel - 1) - 1) / stride + 1.

    >>> layer = ConvolutionDepthwise(kernel=(3,), stride=(2,), pad=(1,))
    >>> layer.infer(((1, 24, 56, 56),), 1), layer.weights(((1, 24, 56, 56),))[0].shape
    (((1, 24, 28, 28),), (24, 1, 3, 3))

    Reference: `conv_dw_layer.cpp` of BVLC Caffe's pull request 5665, also in the ShuffleNet ports.
    """

    num_output: int = 0
    """Not used: the top has as many channels as the bottom."""
    group: int = 0
    """Not used: each channel is a group."""

    bottom_count: ClassVar[Count] = Count(1)
    top_count: ClassVar[Count] = Count(1)
    same_count: ClassVar[bool] = False

    def _check_channels(self) -> None:
        pass

    def outputs(self, channels: int) -> int:
        """Return the number of channels."""
        return channels

    def groups(self, channels: int) -> int:
        """Return the number of channels."""
        return channels

    def inputs(self, weight: Shape) -> int:
        """Return the number of kernels."""
        return weight[0]

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if windows and bottom do not match."""
        if len(bottoms[0]) != IMAGE:
            fail(f"expected a bottom with {IMAGE} axes, got {len(bottoms[0])}", field="bottom")
        if self.axis != 1:
            fail(f"`axis` {self.axis}: the channels of a depthwise convolution are on axis 1", field="axis")
        return Convolution.infer(self, bottoms, tops)

    def _channels(self, channels: int) -> Shape:
        return (channels, 1)
