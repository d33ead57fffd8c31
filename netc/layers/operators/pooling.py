"""Pooling: MaxPool, AveragePool and their variants, LpPool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, product, text
from netc.ir.layer import Cost, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.receptive_field import ReceptiveFields, all_places
from netc.ir.traits import Role
from netc.layers._operators import operator
from netc.layers.operators._windows import (
    AxisWindows,
    WindowArguments,
    WindowOperator,
    channels_first,
    in_order,
    read_windows,
)

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Pool(WindowOperator):
    """What poolings share: windows are clipped to the input, and none is empty."""

    global_pooling: bool = False
    """Whether the window is the whole plane; the kernel is then ignored."""

    role: ClassVar[Role] = "inner"
    planes_only: ClassVar[bool] = False
    """Whether the input must have two spatial axes."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the windows. Raises NetcError E101, E103."""
        return cls(**_pool_windows(operator), global_pooling=operator.flag("global_pooling"))

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The window, or the whole plane; unknown with the channels last."""
        if self.global_pooling and self.order == "NCHW":
            return all_places(fields[0], bottoms[0])
        return super().receptive_field(fields, bottoms, top)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a number of axes that does not fit, and for windows without elements."""
        (x,) = bottoms
        if self.planes_only and len(x) != 4:
            fail(f"input 0 of `{self.type}` has shape {text(x)}, expected 4 axes", field="input")
        if self.global_pooling:
            if len(x) < 2:
                fail(f"input 0 of `{self.type}` has shape {text(x)}, expected at least 2 axes", field="input")
        else:
            self.check_rank(x)
            if len(x) > 5:
                fail(f"`{self.type}` supports up to 3 spatial axes, got {len(x) - 2}", field="input")
        if any(extent == 0 for extent in x[1:]):
            fail(f"input 0 of `{self.type}` has shape {text(x)}, which has no elements", field="input")
        n, c, spatial = self.split(x)
        if self.global_pooling:
            return (self.join(n, c, (1,) * len(spatial)),)
        frames = self.frames(spatial)
        for frame, stride, extent in zip(frames, self.stride, spatial):
            if (frame.windows - 1) * stride - frame.head >= extent:
                fail(
                    f"the last of {frame.windows} windows with stride {stride} begins beyond the input of {extent}",
                    field="stride",
                )
        return (self.join(n, c, tuple(frame.windows for frame in frames)),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per element of a window; one per input element if the window is the whole plane."""
        window = 1 if self.global_pooling else product(self.kernel)
        return Cost(operations=product(bottoms[0] if self.global_pooling else tops[0]) * window)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = channels_first(bottoms[0], self.order)
        if self.global_pooling:
            y = self.reduced(x) if x.dim() > 2 else self.reduced(x.unsqueeze(-1)).squeeze(-1)
        else:
            y = self.pooled(x)
        return in_order(y, self.order)

    def reduced(self, x: Tensor) -> Tensor:
        """Each channel of (n, c, *spatial) reduced to one element, spatial axes kept."""
        raise NotImplementedError

    def pooled(self, x: Tensor) -> Tensor:
        """Each window of (n, c, *spatial) reduced to one element."""
        raise NotImplementedError


def _pool_windows(operator: Operator) -> WindowArguments:
    """Read the windows of a pooling. Raises NetcError E101, E103."""
    is_global = operator.flag("global_pooling")
    windows = read_windows(operator, kernel=not is_global)
    kernel, pads = windows["kernel"], windows["pads"]
    if max(windows["dilation"]) > 1:
        operator.fail(f"`{operator.type}` does not support dilation", "dilation", code="E101")
    if is_global and (any(pads) or max(windows["stride"]) > 1):
        operator.fail("`global_pooling` supports neither pads nor strides", "global_pooling", code="E101")
    if not is_global:
        for pad, extent in zip(pads, kernel * 2):
            if pad >= extent:
                operator.fail(f"padding of {pad} is not less than the kernel of {extent}", "pad")
    return windows


@operator("MaxPool", "MaxPool1D", "MaxPool2D", "MaxPool3D")
@dataclass(frozen=True)
class MaxPool(_Pool):
    """The largest element of each window; padding is never the maximum.

    The gradient goes to every element of a window that equals its maximum.

    Shapes: (n, c, *spatial) to (n, c, *windows), or with the channels last in the order NHWC.

    >>> MaxPool(kernel=(3, 3), stride=(2, 2), legacy_pad=3).infer(((1, 64, 112, 112),), 1)
    ((1, 64, 56, 56),)

    Reference: `pool_op.cc`, `conv_pool_op_base.h`.
    """

    def reduced(self, x: Tensor) -> Tensor:
        """The maximum of each channel."""
        import torch

        from netc.functions.tied_maximum import TiedGlobalMaximum

        if not (x.requires_grad and torch.is_grad_enabled()):
            return x.amax(tuple(range(2, x.dim())), keepdim=True)
        y: Tensor = TiedGlobalMaximum.apply(x)  # type: ignore[no-untyped-call]
        return y

    def pooled(self, x: Tensor) -> Tensor:
        """The maximum of each window."""
        import torch

        found = self.as_torch_pooling(x.shape[2:])
        if found is None:
            x, found = self.padded(x, -torch.inf), ((0,) * len(self.kernel), False)
        if not (x.requires_grad and torch.is_grad_enabled()):
            axes = len(self.kernel)
            pool = torch.max_pool2d if axes == 2 else torch.max_pool1d if axes == 1 else torch.max_pool3d
            return pool(x, self.kernel, self.stride, found[0], 1, found[1])
        from netc.functions.tied_maximum import TiedMaximum

        y: Tensor = TiedMaximum.apply(x, self.kernel, self.stride, *found)  # type: ignore[no-untyped-call]
        return y


@dataclass(frozen=True)
class _SumPool(_Pool):
    """A pooling that adds up."""

    overwritable: ClassVar[bool] = True

    def sums(self, x: Tensor, divisor: int = 1) -> Tensor:
        """The sum of each window, divided by a number."""
        import torch.nn.functional as F

        axes, found = len(self.kernel), self.as_torch_pooling(x.shape[2:])
        if found is None:
            x, found = self.padded(x), ((0,) * axes, False)
        heads, up = found
        if axes == 3:
            return F.avg_pool3d(x, self.kernel, self.stride, heads, up, True, divisor)
        if axes == 2:
            return F.avg_pool2d(x, self.kernel, self.stride, heads, up, True, divisor)
        plane = F.avg_pool2d(x.unsqueeze(2), (1, *self.kernel), (1, *self.stride), (0, *heads), up, True, divisor)
        return plane.squeeze(2)


@operator("AveragePool", "AveragePool1D", "AveragePool2D", "AveragePool3D")
@dataclass(frozen=True)
class AveragePool(_SumPool):
    """The mean of each window, over its elements within the input.

    With `count_include_pad` the sum is divided by the number of elements of the whole window, wherever it lies.

    Shapes: (n, c, *spatial) to (n, c, *windows), or with the channels last in the order NHWC.

    >>> AveragePool(global_pooling=True).infer(((1, 1000, 13, 13),), 1)
    ((1, 1000, 1, 1),)

    Reference: `pool_op.cc`, `conv_pool_op_base.h`.
    """

    count_include_pad: bool = False
    """Whether padding counts as elements."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the windows and `count_include_pad`. Raises NetcError E101, E103."""
        flags = operator.flag("global_pooling"), operator.flag("count_include_pad")
        return cls(**_pool_windows(operator), global_pooling=flags[0], count_include_pad=flags[1])

    def reduced(self, x: Tensor) -> Tensor:
        """The mean of each channel."""
        return x.mean(tuple(range(2, x.dim())), keepdim=True)

    def pooled(self, x: Tensor) -> Tensor:
        """The mean of each window."""
        import torch.nn.functional as F

        if self.count_include_pad:
            return self.sums(x, product(self.kernel))
        found = self.as_torch_pooling(x.shape[2:])
        if found is None:
            return self.sums(x) / self._counts(x)
        heads, up = found
        if len(self.kernel) == 1:
            return F.avg_pool1d(x, self.kernel, self.stride, heads, up, False)
        pool = F.avg_pool2d if len(self.kernel) == 2 else F.avg_pool3d
        return pool(x, self.kernel, self.stride, heads, up, False)

    def _counts(self, x: Tensor) -> Tensor:
        """The number of elements within the input of each window."""
        counts = x.new_ones(())
        for frame, kernel, stride, extent in zip(self.frames(x.shape[2:]), self.kernel, self.stride, x.shape[2:]):
            counts = counts.unsqueeze(-1) * x.new_tensor(_clipped(frame, kernel, stride, extent))
        return counts


def _clipped(frame: AxisWindows, kernel: int, stride: int, extent: int) -> list[int]:
    """The number of elements within the input of each window along one axis.

    >>> _clipped(AxisWindows(3, 1, 1), 3, 2, 5)
    [2, 3, 2]
    """
    starts = [i * stride - frame.head for i in range(frame.windows)]
    return [min(start + kernel, extent) - max(start, 0) for start in starts]


@operator("LpPool")
@dataclass(frozen=True)
class LpPool(_SumPool):
    """The p-norm of each window: (sum |x|^p)^(1/p), without division by the number of elements.

    Shapes: (n, c, h, w) to (n, c, *windows), or with the channels last in the order NHWC.

    Reference: `lp_pool_op.cc`, `conv_pool_op_base.h`.
    """

    p: float = 2.0
    """The exponent."""

    overwritable: ClassVar[bool] = False
    planes_only: ClassVar[bool] = True

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the windows and `p`. Raises NetcError E101, E103."""
        windows = _pool_windows(operator)
        return cls(**windows, global_pooling=operator.flag("global_pooling"), p=operator.real("p", 2.0))

    def reduced(self, x: Tensor) -> Tensor:
        """The norm of each channel."""
        return x.abs().pow(self.p).sum(tuple(range(2, x.dim())), keepdim=True).pow(1 / self.p)

    def pooled(self, x: Tensor) -> Tensor:
        """The norm of each window."""
        return self.sums(x.abs().pow(self.p)).pow(1 / self.p)
