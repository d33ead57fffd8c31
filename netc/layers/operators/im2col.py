"""Windows of planes as columns, and their sum back into planes: Im2Col, Col2Im."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer, check_axes
from netc.layers._operators import operator
from netc.layers.operators._windows import Extents, Order, channels_first, in_order, order_of, split

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _Columns(OperatorLayer):
    """What both operators share; their arguments are not those of convolutions."""

    kernel: Extents
    """Height and width of the windows."""
    stride: Extents = (1, 1)
    """Distances between windows."""
    dilation: Extents = (1, 1)
    """Distances between the elements of a window."""
    pad: int = 0
    """Padding on every side."""
    order: Order = "NCHW"
    """The order of the axes; NHWC has the channels last."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the windows; `kernel_h` and `kernel_w` each override `kernel`. Raises NetcError E101, E103."""
        found: dict[str, Extents] = {}
        for name, default in (("kernel", 0), ("stride", 1), ("dilation", 1)):
            both = operator.integer(name, default)
            found[name] = operator.integer(f"{name}_h", both), operator.integer(f"{name}_w", both)
            if min(found[name]) < 1:
                missing = not any(one in operator for one in (name, f"{name}_h", f"{name}_w"))
                operator.fail(
                    f"`{operator.type}` requires a kernel" if missing else f"`{name}` is not positive",
                    name,
                    code="E101" if missing else "E103",
                )
        pad = operator.integer("pad")
        if pad < 0:
            operator.fail(f"`pad` is {pad}, expected at least 0", "pad")
        return cls(**found, pad=pad, order=order_of(operator))

    def windows(self, spatial: Shape) -> Shape:
        """The number of windows along both axes. Raises NetcError E102 for a window larger than the plane."""
        reaches = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation)]
        for extent, reach in zip(spatial, reaches):
            if extent < reach:  # padding does not count here
                fail(f"a window of {reach} does not fit into an input of {extent}", field="input")
        return tuple((e + 2 * self.pad - reach) // s + 1 for e, reach, s in zip(spatial, reaches, self.stride))


@operator("Im2Col")
@dataclass(frozen=True)
class Im2Col(_Columns):
    """The elements of each window in one column.

    Shapes: (n, c, h, w) to (n, c * kh * kw, *windows), or (n, h, w, c) to (n, *windows, kh * kw * c).

    >>> Im2Col((2, 2)).infer(((1, 3, 4, 5),), 1)
    ((1, 12, 3, 4),)

    Reference: `im2col_op.h`.
    """

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a number of axes other than 4, and for windows larger than the plane."""
        check_axes(self.type, bottoms[0], 4)
        n, c, spatial = split(bottoms[0], self.order)
        windows, rows = self.windows(spatial), c * product(self.kernel)
        return ((n, rows, *windows) if self.order == "NCHW" else (n, *windows, rows),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x = channels_first(bottoms[0], self.order)
        n, c, taps, windows = *x.shape[:2], product(self.kernel), self.windows(tuple(x.shape[2:]))
        columns = F.unfold(x, self.kernel, self.dilation, self.pad, self.stride)
        if self.order == "NCHW":
            return columns.reshape(n, c * taps, *windows)
        return columns.reshape(n, c, taps, *windows).permute(0, 3, 4, 2, 1).reshape(n, *windows, taps * c)


@operator("Col2Im")
@dataclass(frozen=True)
class Col2Im(_Columns):
    """The sum of the columns of windows, at the places that the elements have in the plane.

    Shapes: X with the elements of `Im2Col`'s output, and a second input whose shape the output has.

    Reference: `im2col_op.h`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit."""
        x, y = bottoms
        check_axes(self.type, y, 4, 1)
        n, c, spatial = split(y, self.order)
        expected = (n, c * product(self.kernel), *self.windows(spatial))
        if differ(product(x), product(expected)):
            fail(
                f"input 0 has shape {text(x)}, expected the {product(expected)} elements of the windows", field="input"
            )
        return (y,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition per element of the columns."""
        return Cost(operations=product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        n, c, spatial = split(tuple(bottoms[1].shape), self.order)
        windows, taps = self.windows(spatial), product(self.kernel)
        columns = bottoms[0]
        if self.order == "NHWC":
            columns = columns.reshape(n, *windows, taps, c).permute(0, 4, 3, 1, 2)
        columns = columns.reshape(n, c * taps, product(windows))
        y = F.fold(columns, spatial, self.kernel, self.dilation, self.pad, self.stride)
        return in_order(y, self.order)
