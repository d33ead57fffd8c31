"""Convolution and Deconvolution, over any number of spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.coordinate_map import CoordinateMap, inverted, of_windows
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.receptive_field import ReceptiveField, ReceptiveFields
from netc.layers._axes import axis_of
from netc.layers._nd_convolution import Windows, convolve, deconvolve
from netc.layers._registry import register
from netc.layers._windows import convolved, deconvolved, each_axis, positive, spatial, window_fields

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class SlidingKernel(Layer):
    """Base of Convolution and Deconvolution: parameters, checks and blobs (`base_conv_layer.cpp`)."""

    num_output: int
    """Number of channels of the top."""
    kernel: tuple[int, ...] = ()
    """Window extents, one per axis or one for all; empty only if there is no axis after `axis`."""
    stride: tuple[int, ...] = (1,)
    """Distance between windows, one number per axis or one for all."""
    pad: tuple[int, ...] = (0,)
    """Zeros on both sides; for a deconvolution, elements that are removed from both sides of the top."""
    dilation: tuple[int, ...] = (1,)
    """Distance between the elements of a window, one number per axis or one for all."""
    group: int = 1
    """Number of groups that the channels are divided into, each with its own kernels."""
    axis: int = 1
    """The channel axis; all before it are batch axes."""
    bias_term: bool = True
    """Whether a learned bias is added to each output channel."""
    force_nd_im2col: bool = False
    """Selects Caffe's implementation; no effect in netc."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the weights are initialized."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the bias is initialized."""

    message: ClassVar[str] = "convolution_param"
    """The parameter message."""
    caffe_fields: ClassVar[CaffeFields] = window_fields("convolution_param")
    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(1, None)
    same_count: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Resolves the two spellings of the window. Raises NetcError E101, E103."""
        p = layer.message(cls.message)
        result = cls(
            num_output=p["num_output"],
            kernel=spatial(p, ("kernel_size", "kernel_h", "kernel_w"), ()),
            stride=spatial(p, ("stride", "stride_h", "stride_w"), (1,)),
            pad=spatial(p, ("pad", "pad_h", "pad_w"), (0,), single=0),
            dilation=tuple(p["dilation"]) or (1,),
            group=cls._group_in(p),
            axis=p["axis"],
            bias_term=p["bias_term"],
            force_nd_im2col=p["force_nd_im2col"],
            weight_filler=Filler.read(p, "weight_filler"),
            bias_filler=Filler.read(p, "bias_filler"),
        )
        result._check()
        return result

    @classmethod
    def _group_in(cls, parameters: Fields) -> int:
        group: int = parameters["group"]
        return group

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with windows in the repeated spelling."""
        values = super().to_caffe()
        if "kernel" in values:
            values["kernel_size"] = values.pop("kernel")
        return values

    def _check(self) -> None:
        self._check_channels()
        positive(self.kernel, "kernel_size")
        positive(self.stride, "stride")
        positive(self.dilation, "dilation")

    def _check_channels(self) -> None:
        positive((self.num_output,), "num_output")
        positive((self.group,), "group")
        if self.num_output % self.group:
            fail(f"`num_output` {self.num_output} is not a multiple of `group` {self.group}", field="group")

    def outputs(self, channels: int) -> int:
        """Return the number of channels of the top for that of the bottom."""
        return self.num_output

    def groups(self, channels: int) -> int:
        """Return the number of groups for the number of channels of the bottom."""
        return self.group

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if windows, groups and bottoms do not match."""
        if any(differ(bottom, bottoms[0]) for bottom in bottoms):
            fail(f"bottoms have different shapes: {', '.join(map(text, bottoms))}", field="bottom")
        axis = axis_of(self.axis, bottoms[0])
        channels = bottoms[0][axis]
        if differ(channels % self.groups(channels), 0):
            fail(f"the number of channels, {channels}, is not a multiple of `group` {self.group}", field="group")
        top = (*bottoms[0][:axis], self.outputs(channels), *self._extents(bottoms[0][axis + 1 :]))
        return (top,) * len(bottoms)

    def _extents(self, bottom: Shape) -> Shape:
        """Return the spatial extents of the top."""
        raise NotImplementedError

    def windows(self, axes: int) -> Windows:
        """Return kernel, stride, pad and dilation for each of `axes` spatial axes. Raises NetcError E101."""
        return Windows(
            each_axis(self.kernel, axes, "kernel_size"),
            each_axis(self.stride, axes, "stride"),
            each_axis(self.pad, axes, "pad"),
            each_axis(self.dilation, axes, "dilation"),
        )

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`, whose kernel axes follow its two channel axes, and `bias` (num_output)."""
        axis = axis_of(self.axis, bottoms[0])
        kernel = each_axis(self.kernel, len(bottoms[0]) - axis - 1, "kernel_size")
        weight = Weight("weight", (*self._channels(bottoms[0][axis]), *kernel), self.weight_filler)
        bias = Weight("bias", (self.outputs(bottoms[0][axis]),), self.bias_filler)
        return (weight, bias) if self.bias_term else (weight,)

    def _channels(self, channels: int) -> Shape:
        """Return the first two extents of `weight`."""
        raise NotImplementedError

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """A stock module for one bottom with one batch axis and one to three spatial axes."""
        axes = len(bottoms[0]) - 2
        if axis_of(self.axis, bottoms[0]) != 1 or len(bottoms) > 1 or not 1 <= axes <= 3:
            return None
        return self._stock(bottoms[0][1], axes)

    def _stock(self, channels: int, axes: int) -> nn.Module:
        raise NotImplementedError

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Supports several bottoms, any number of batch axes (folded into one), and any number of spatial axes."""
        axis = axis_of(self.axis, tuple(bottoms[0].shape))
        return tuple(self._one(bottom, axis, weights) for bottom in bottoms)

    def _one(self, bottom: Tensor, axis: int, weights: Sequence[Tensor]) -> Tensor:
        batch, rest = bottom.shape[:axis], bottom.shape[axis:]
        if self._channels(rest[0]) != tuple(weights[0].shape[:2]):
            fail(
                f"a bottom with {counted(rest[0], 'channel')} does not fit "
                f"weights of shape {text(tuple(weights[0].shape))}"
            )
        folded = bottom.reshape(product(batch), *rest)
        bias = weights[1] if self.bias_term else None
        top = self._compute(folded, weights[0], bias, self.windows(len(rest) - 1))
        return top.reshape(*batch, *top.shape[1:])

    def _compute(self, x: Tensor, weight: Tensor, bias: Tensor | None, windows: Windows) -> Tensor:
        raise NotImplementedError


def windows_that_fit(bottom: Shape, w: Windows) -> Shape:
    """Return the number of windows along each spatial axis. Raises NetcError E102 unless there is one."""
    top = tuple(map(convolved, bottom, w.kernel, w.stride, w.pad, w.dilation))
    for extent, count, k, p, d in zip(bottom, top, w.kernel, w.pad, w.dilation):
        if count < 1:
            reach = d * (k - 1) + 1
            fail(f"kernel of {reach} does not fit an input of {extent} with padding {p}", field="kernel_size")
    return top


@register("Convolution", field="convolution_param", v1="CONVOLUTION")
@dataclass(frozen=True)
class Convolution(SlidingKernel):
    """Convolves each bottom with the same learned kernels, over every axis after `axis`.

    Shapes: (n, c, h, w) to (n, num_output, oh, ow), oh = (h + 2 pad - dilation (kernel - 1) - 1) / stride + 1.

    >>> Convolution(num_output=96, kernel=(11,), stride=(4,)).infer(((1, 3, 227, 227),), 1)
    ((1, 96, 55, 55),)

    Reference: `base_conv_layer.cpp`, `conv_layer.cpp`.
    """

    def inputs(self, weight: Shape) -> int:
        """Return the number of channels of the bottom for the shape of `weight`."""
        return weight[1] * self.group

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """Positions of kernels' centers."""
        w = self.windows(axes)
        return of_windows(w.kernel, w.stride, w.pad, w.dilation)

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The window."""
        if axis_of(self.axis, bottoms[0]) != 1 or len(fields[0]) != len(bottoms[0]) - 2:
            return None
        w = self.windows(len(fields[0]))
        return tuple(map(ReceptiveField.window, fields[0], w.kernel, w.stride, w.dilation))

    def _extents(self, bottom: Shape) -> Shape:
        return windows_that_fit(bottom, self.windows(len(bottom)))

    def _channels(self, channels: int) -> Shape:
        return (self.outputs(channels), channels // self.groups(channels))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per weight and output position; the bias is not counted, as in papers."""
        weight = self.weights(bottoms)[0].shape
        return Cost(macs=sum(product(top) * product(weight[1:]) for top in tops))

    def _stock(self, channels: int, axes: int) -> nn.Module:
        from torch import nn

        conv: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        w = self.windows(axes)
        outputs, groups = self.outputs(channels), self.groups(channels)
        result: nn.Module = conv(channels, outputs, w.kernel, w.stride, w.pad, w.dilation, groups, bias=self.bias_term)
        return result

    def _compute(self, x: Tensor, weight: Tensor, bias: Tensor | None, windows: Windows) -> Tensor:
        return convolve(x, weight, bias, windows, self.groups(x.shape[1]))


@register("Deconvolution", field="convolution_param", v1="DECONVOLUTION")
@dataclass(frozen=True)
class Deconvolution(SlidingKernel):
    """The transpose of a convolution: every input element adds the kernel, multiplied by it, to the top.

    Shapes: (n, c, h, w) to (n, num_output, oh, ow), oh = stride (h - 1) + dilation (kernel - 1) + 1 - 2 pad.

    >>> Deconvolution(num_output=21, kernel=(64,), stride=(32,)).infer(((1, 21, 16, 12),), 1)
    ((1, 21, 544, 416),)

    Reference: `base_conv_layer.cpp`, `deconv_layer.cpp`.
    """

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """The inverse of a convolution's map."""
        w = self.windows(axes)
        return inverted(of_windows(w.kernel, w.stride, w.pad, w.dilation))

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The positions of the bottom whose kernels cover an element."""
        if axis_of(self.axis, bottoms[0]) != 1 or len(fields[0]) != len(bottoms[0]) - 2:
            return None
        w = self.windows(len(fields[0]))
        return tuple(map(ReceptiveField.spread, fields[0], w.kernel, w.stride, w.dilation))

    def _extents(self, bottom: Shape) -> Shape:
        w = self.windows(len(bottom))
        top = tuple(map(deconvolved, bottom, w.kernel, w.stride, w.pad, w.dilation))
        for extent, count, p in zip(bottom, top, w.pad):
            if count < 1:
                fail(
                    f"padding of {p} leaves nothing of the {count + 2 * p} elements from an input of {extent}",
                    field="pad",
                )
        return top

    def _channels(self, channels: int) -> Shape:
        return (channels, self.num_output // self.group)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per weight and input position; the bias is not counted, as in papers."""
        weight = self.weights(bottoms)[0].shape
        return Cost(macs=sum(product(bottom) * product(weight[1:]) for bottom in bottoms))

    def _stock(self, channels: int, axes: int) -> nn.Module:
        from torch import nn

        conv: Any = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
        w = self.windows(axes)
        result: nn.Module = conv(
            channels, self.num_output, w.kernel, w.stride, w.pad, 0, self.group, self.bias_term, w.dilation
        )
        return result

    def _compute(self, x: Tensor, weight: Tensor, bias: Tensor | None, windows: Windows) -> Tensor:
        return deconvolve(x, weight, bias, windows, self.group)
