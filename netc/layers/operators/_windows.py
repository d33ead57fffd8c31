"""The geometry that Caffe2's convolutions, poolings and related operators share: their arguments and their windows.

Arguments have three spellings: a list with one extent per spatial axis (`kernels`), one number for both axes of a plane
(`kernel`), and two numbers (`kernel_h`, `kernel_w`). Pads are listed as all heads, then all tails: [t, l, b, r].

Reference: `conv_pool_op_base.h`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict, cast

from netc.ir.dims import UNKNOWN, Shape, ceil_div, known, text
from netc.ir.layer import fail
from netc.ir.operator import Operator
from netc.ir.receptive_field import ReceptiveField, ReceptiveFields
from netc.layers._operator_layer import OperatorLayer

if TYPE_CHECKING:
    from torch import Tensor

Extents = tuple[int, ...]
Order = Literal["NCHW", "NHWC"]
Pooling = tuple[Extents, bool]
"""The symmetric padding, and whether the number of windows is rounded up."""
NOTSET, VALID, SAME, CAFFE_POOLING = range(4)
"""The values of `legacy_pad`: pads are explicit; none; as TensorFlow's SAME; as in Caffe's pooling."""


class AxisWindows(NamedTuple):
    """The windows along one axis."""

    windows: int
    head: int
    """Padding before the first element; if negative, the number of elements before the first window."""
    tail: int
    """Padding after the last element up to the end of the last window; if negative, the elements after it."""


class WindowArguments(TypedDict):
    """The arguments that `WindowOperator` has as fields."""

    kernel: Extents
    stride: Extents
    dilation: Extents
    pads: Extents
    legacy_pad: int
    order: Order


def extents(operator: Operator, name: str, listed: str) -> list[int]:
    """An argument in its three spellings, empty if none is set.

    As in Caffe2 the number for both axes lengthens or shortens the list to two, and two numbers are appended to it; one
    of the two alone is ignored.

    >>> extents(Operator("Conv", {"kernels": {"ints": [3, 5]}, "kernel": {"i": 2}}), "kernel", "kernels")
    [3, 5]
    """
    found = list(operator.integers(listed))
    pair = f"{name}_h", f"{name}_w"
    if name in operator:
        return (found + [operator.integer(name)] * 2)[:2]
    if all(one in operator for one in pair):
        found += map(operator.integer, pair)
    return found


def pads_of(operator: Operator, legacy_pad: int) -> list[int]:
    """The pads, [t, l, b, r] for a plane, empty if none are set.

    Raises NetcError E101 for pads along with a `legacy_pad` that determines them.
    """
    sides = "pad_t", "pad_l", "pad_b", "pad_r"
    complete = all(side in operator for side in sides)
    given = next((name for name in ("pads", "pad") if name in operator), sides[0] if complete else None)
    if given and legacy_pad in (VALID, SAME):
        operator.fail(f"`legacy_pad: {legacy_pad}` determines the padding: `{given}` cannot be set", given, code="E101")
    found = list(operator.integers("pads"))
    if "pad" in operator:
        return (found + [operator.integer("pad")] * 4)[:4]
    if complete:
        found += map(operator.integer, sides)
    return found


def order_of(operator: Operator) -> Order:
    """The order of the axes. Raises NetcError E103 for a name that Caffe2 does not know."""
    name = operator.text("order", "NCHW")
    if name not in ("NCHW", "nchw", "NHWC", "nhwc"):
        operator.fail(f"unknown `order` {name!r}", "order", help="`NCHW` or `NHWC`")
    return cast("Order", name.upper())


def read_windows(operator: Operator, *, kernel: bool = True) -> WindowArguments:
    """Read the arguments; `kernel` says whether the operator needs a kernel.

    Raises NetcError E101 for a kernel that is missing, for numbers that do not match, and for pads along with a
    `legacy_pad` that determines them; E103 for a number or a name that is out of range.
    """
    legacy_pad = operator.integer("legacy_pad", NOTSET)
    if legacy_pad not in (NOTSET, VALID, SAME, CAFFE_POOLING):
        operator.fail(f"unknown `legacy_pad: {legacy_pad}`", "legacy_pad", help="0, 1, 2 or 3")
    found = extents(operator, "kernel", "kernels")
    if kernel and not found:
        help = "set `kernel`, both `kernel_h` and `kernel_w`, or `kernels`"
        operator.fail(f"`{operator.type}` requires a kernel", _spelling(operator, "kernel"), code="E101", help=help)
    found = found or [0, 0]
    axes = len(found)
    stride, dilation = (extents(operator, name, f"{name}s") or [1] * axes for name in ("stride", "dilation"))
    pads = pads_of(operator, legacy_pad) or [0] * 2 * axes
    for name, values, expected in (("stride", stride, axes), ("dilation", dilation, axes), ("pad", pads, 2 * axes)):
        if len(values) != expected:
            what = f"`{operator.type}` has {len(values)} numbers for `{name}`, expected {expected}"
            operator.fail(f"{what} for a kernel with {axes} axes", _spelling(operator, name), code="E101")
    for name, values in (("stride", stride), ("dilation", dilation)):
        if min(values) < 1:
            operator.fail(f"`{name}` is {min(values)}, expected a positive number", _spelling(operator, name))
    if kernel and min(found) < 1:
        operator.fail(f"`kernel` is {min(found)}, expected a positive number", _spelling(operator, "kernel"))
    if legacy_pad == CAFFE_POOLING and min(pads[:axes]) < 0:
        operator.fail("`legacy_pad: 3` requires pads that are not negative", _spelling(operator, "pad"))
    return {
        "kernel": tuple(found),
        "stride": tuple(stride),
        "dilation": tuple(dilation),
        "pads": tuple(pads),
        "legacy_pad": legacy_pad,
        "order": order_of(operator),
    }


def _spelling(operator: Operator, name: str) -> str:
    """The argument that sets a parameter of this name."""
    return next((one for one in (f"{name}s", name, f"{name}_h", f"{name}_t") if one in operator), name)


@dataclass(frozen=True)
class WindowOperator(OperatorLayer):
    """An operator that visits windows of a plane, a line or a volume."""

    kernel: Extents = (1, 1)
    """Extents of the window, one per spatial axis."""
    stride: Extents = (1, 1)
    """Distances between windows."""
    dilation: Extents = (1, 1)
    """Distances between the elements of a window."""
    pads: Extents = (0, 0, 0, 0)
    """Padding, all heads, then all tails; negative numbers crop."""
    legacy_pad: int = NOTSET
    """0: pads are explicit. 1: none. 2: ceil(extent / stride) windows, padding on both sides, the odd element after.
    3: the number of windows is rounded up, as in Caffe's pooling."""
    order: Order = "NCHW"
    """The order of the axes; NHWC has the channels last."""

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The window; unknown with the channels last."""
        if self.order == "NHWC" or len(fields[0]) != len(self.kernel):
            return None
        return tuple(map(ReceptiveField.window, fields[0], self.kernel, self.stride, self.dilation))

    @property
    def heads(self) -> Extents:
        """The pads before the first elements."""
        return self.pads[: len(self.kernel)]

    def check_rank(self, shape: Shape) -> None:
        """Raise NetcError E102 unless the input has one spatial axis per axis of the kernel."""
        axes = len(self.kernel) + 2
        if len(shape) != axes:
            kernel = text(self.kernel)
            fail(
                f"input 0 of `{self.type}` has shape {text(shape)}, expected {axes} axes: kernel {kernel}",
                field="input",
            )

    def split(self, shape: Shape) -> tuple[int, int, Shape]:
        """The number of items, the number of channels and the spatial extents of a shape in the operator's order."""
        return split(shape, self.order)

    def join(self, items: int, channels: int, spatial: Shape) -> Shape:
        """The inverse of `split`."""
        return (items, channels, *spatial) if self.order == "NCHW" else (items, *spatial, channels)

    def frames(self, spatial: Sequence[int]) -> tuple[AxisWindows, ...]:
        """The windows along each axis. Raises NetcError E102 if none fits."""
        axes = len(self.kernel)
        arguments = zip(spatial, self.kernel, self.stride, self.dilation, self.pads[:axes], self.pads[axes:])
        return tuple(self._frame(*one) for one in arguments)

    def _frame(self, extent: int, kernel: int, stride: int, dilation: int, head: int, tail: int) -> AxisWindows:
        reach = dilation * (kernel - 1) + 1
        if not known(extent):
            return AxisWindows(UNKNOWN, UNKNOWN if self.legacy_pad == SAME else head, UNKNOWN)
        if self.legacy_pad == VALID:
            windows = _truncated(extent - reach, stride) + 1
            head = 0
        elif self.legacy_pad == SAME:
            windows = ceil_div(extent, stride)
            head = _truncated((windows - 1) * stride + kernel - extent, 2)
        elif self.legacy_pad == CAFFE_POOLING:
            windows = self._caffe_windows(extent, kernel, stride, head)
        else:
            windows = (extent + head + tail - reach) // stride + 1
        if windows < 1:
            fail(
                f"a window of {reach} does not fit into an input of {extent} with pads {head} and {tail}", field="input"
            )
        return AxisWindows(windows, head, (windows - 1) * stride + reach - extent - head)

    def _caffe_windows(self, extent: int, kernel: int, stride: int, head: int) -> int:
        """The number of windows as in Caffe's pooling, which does not consider dilation."""
        space = extent + 2 * head - kernel
        windows = ceil_div(space, stride) + 1
        if head and (windows - 1) * stride >= extent + head:
            windows -= 1
        if windows < _truncated(space + stride, stride):
            fail(f"`legacy_pad: 3` requires a pad of {head} that is less than the kernel of {kernel}", field="pad")
        return windows

    @cached_property
    def symmetric(self) -> Extents | None:
        """The pads of each axis, if they are explicit, the same on both sides, and not negative."""
        heads = self.heads
        explicit = self.legacy_pad == NOTSET and heads == self.pads[len(heads) :]
        return heads if explicit and min(heads) >= 0 else None

    @cached_property
    def pooling(self) -> Pooling | None:
        """How torch's pooling visits the windows of any input, None if that is not known."""
        heads, windows = self.heads, zip(self.heads, self.kernel, self.stride)
        if not self._are_possible(heads):
            return None
        if self.legacy_pad == CAFFE_POOLING and all(head or stride <= kernel for head, kernel, stride in windows):
            return heads, True
        return None if self.symmetric is None else (heads, False)

    def as_torch(self, spatial: Sequence[int]) -> Extents | None:
        """The symmetric padding with which torch's convolution visits the same windows, None if there is none."""
        if self.symmetric is not None:
            return self.symmetric
        heads = tuple(frame.head for frame in self.frames(spatial))
        return heads if min(heads) >= 0 and self._agree(spatial, up=False) else None

    def as_torch_pooling(self, spatial: Sequence[int]) -> Pooling | None:
        """How torch's pooling visits the same windows, None if it cannot."""
        if self.pooling is not None:
            return self.pooling
        heads = tuple(frame.head for frame in self.frames(spatial))
        ways = ((heads, up) for up in (False, True) if self._are_possible(heads) and self._agree(spatial, up=up))
        return next(ways, None)

    def _are_possible(self, heads: Extents) -> bool:
        """Whether torch's pooling accepts the padding."""
        return all(head >= 0 and 2 * head <= kernel for head, kernel in zip(heads, self.kernel))

    def _agree(self, spatial: Sequence[int], *, up: bool) -> bool:
        """Whether torch visits as many windows, for the padding before the first elements on both sides."""
        for extent, frame, kernel, stride, dilation in zip(
            spatial, self.frames(spatial), self.kernel, self.stride, self.dilation
        ):
            space = extent + 2 * frame.head - dilation * (kernel - 1) - 1
            windows = (ceil_div(space, stride) if up else space // stride) + 1
            if up and (windows - 1) * stride >= extent + frame.head:
                windows -= 1
            if windows != frame.windows:
                return False
        return True

    def padded(self, x: Tensor, value: float = 0.0) -> Tensor:
        """The input (n, c, *spatial) with its padding, so that windows without padding are the same."""
        import torch.nn.functional as F

        frames = self.frames(x.shape[2:])
        return F.pad(x, [pad for frame in reversed(frames) for pad in (frame.head, frame.tail)], value=value)


def _truncated(a: int, b: int) -> int:
    """`a / b` rounded toward zero, as C++ divides integers, for positive b.

    >>> _truncated(-1, 2), _truncated(3, 2)
    (0, 1)
    """
    return a // b if a >= 0 else -(-a // b)


def split(shape: Shape, order: Order) -> tuple[int, int, Shape]:
    """The number of items, the number of channels and the spatial extents of a shape.

    >>> split((2, 5, 6, 3), "NHWC")
    (2, 3, (5, 6))
    """
    return (shape[0], shape[1], shape[2:]) if order == "NCHW" else (shape[0], shape[-1], shape[1:-1])


def channels_first(x: Tensor, order: Order) -> Tensor:
    """The tensor in the order NCHW, a view."""
    return x if order == "NCHW" else x.movedim(-1, 1)


def in_order(x: Tensor, order: Order) -> Tensor:
    """A tensor of the order NCHW in `order`, a view."""
    return x if order == "NCHW" else x.movedim(1, -1)
