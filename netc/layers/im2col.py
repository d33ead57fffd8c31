"""Im2col: every window of a convolution as a column of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, canonical_axis, product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveField, ReceptiveFields
from netc.layers._nd_convolution import Windows
from netc.layers._registry import register
from netc.layers._windows import convolved, each_axis, positive, spatial, window_fields

if TYPE_CHECKING:
    from torch import Tensor


@register("Im2col", field="convolution_param", v1="IM2COL")
@dataclass(frozen=True)
class Im2col(Layer):
    """Moves the elements of each window to the channel axis; padding contributes zeros.

    Shapes: (n, c, h, w) to (n, c kh kw, oh, ow), with the same windows as Convolution.

    >>> Im2col(kernel=(3,), pad=(1,)).infer(((2, 5, 8, 6),), 1)
    ((2, 45, 8, 6),)

    Reference: `im2col_layer.cpp`.
    """

    kernel: tuple[int, ...]
    """Window extents, one per axis or one for all."""
    stride: tuple[int, ...] = (1,)
    """Distance between windows, one number per axis or one for all."""
    pad: tuple[int, ...] = (0,)
    """Zeros on both sides."""
    dilation: tuple[int, ...] = (1,)
    """Distance between the elements of a window, one number per axis or one for all."""
    axis: int = 1
    """The channel axis; all before it are batch axes."""
    force_nd_im2col: bool = False
    """Selects Caffe's implementation; no effect in netc."""

    caffe_fields: ClassVar[CaffeFields] = window_fields("convolution_param")
    top_count: ClassVar[Count] = Count(1)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The window."""
        if self._axis(len(bottoms[0])) != 1 or len(fields[0]) != len(bottoms[0]) - 2:
            return None
        w = self.windows(len(fields[0]))
        return tuple(map(ReceptiveField.window, fields[0], w.kernel, w.stride, w.dilation))

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Resolves the two spellings of the window. Raises NetcError E101, E103."""
        p = layer.message("convolution_param")
        result = cls(
            kernel=spatial(p, ("kernel_size", "kernel_h", "kernel_w"), ()),
            stride=spatial(p, ("stride", "stride_h", "stride_w"), (1,)),
            pad=spatial(p, ("pad", "pad_h", "pad_w"), (0,), single=0),
            dilation=tuple(p["dilation"]) or (1,),
            axis=p["axis"],
            force_nd_im2col=p["force_nd_im2col"],
        )
        positive(result.kernel, "kernel_size")
        positive(result.stride, "stride")
        positive(result.dilation, "dilation")
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with windows in the repeated spelling."""
        values = super().to_caffe()
        values["kernel_size"] = values.pop("kernel")
        return values

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if the windows do not fit."""
        (bottom,) = bottoms
        axis = self._axis(len(bottom))
        w = self.windows(len(bottom) - axis - 1)
        counts = tuple(map(convolved, bottom[axis + 1 :], w.kernel, w.stride, w.pad, w.dilation))
        for extent, count, k, p, d in zip(bottom[axis + 1 :], counts, w.kernel, w.pad, w.dilation):
            if count < 1:
                reach = d * (k - 1) + 1
                fail(f"kernel of {reach} does not fit an input of {extent} with padding {p}", field="kernel_size")
        return ((*bottom[:axis], bottom[axis] * product(w.kernel), *counts),)

    def _axis(self, axes: int) -> int:
        axis = canonical_axis(self.axis, axes)
        if axis is None:
            fail(f"axis {self.axis} of a bottom with {counted(axes, 'axis')}", field="axis")
        if axis == axes - 1:
            fail(f"no spatial axis after axis {axis} of a bottom with {counted(axes, 'axis')}", field="axis")
        return axis

    def windows(self, axes: int) -> Windows:
        """Return kernel, stride, pad and dilation for each of `axes` spatial axes. Raises NetcError E101."""
        return Windows(
            each_axis(self.kernel, axes, "kernel_size"),
            each_axis(self.stride, axes, "stride"),
            each_axis(self.pad, axes, "pad"),
            each_axis(self.dilation, axes, "dilation"),
        )

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Uses torch's unfold for two spatial axes, and one axis after the other for any other number."""
        (bottom,) = bottoms
        shape: Shape = tuple(bottom.shape)
        axis = self._axis(len(shape))
        (top,) = self.infer((shape,), 1)
        x = bottom.reshape(product(shape[:axis]), *shape[axis:])
        return _columns(x, self.windows(x.dim() - 2)).reshape(top)


def _columns(x: Tensor, windows: Windows) -> Tensor:
    """Rearrange (n, c, *spatial) to n, c, the kernel axes, then the window axes, in any grouping."""
    import torch.nn.functional as F

    axes = len(windows.kernel)
    if axes == 2:
        return F.unfold(x, windows.kernel, windows.dilation, windows.pad, windows.stride)
    x = F.pad(x, [pad for pad in reversed(windows.pad) for _ in range(2)])
    for i, (kernel, stride, dilation) in enumerate(zip(windows.kernel, windows.stride, windows.dilation)):
        x = x.unfold(2 + i, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
    return x.permute(0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
