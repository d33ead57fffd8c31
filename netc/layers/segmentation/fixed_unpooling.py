"""UnPooling of Cambricon's Caffe: elements go to the middle of their windows, or fill them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.ir.dims import Shape, ceil_div, known, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveFields
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[int, int]
Window = tuple[int, int, int]
"""Kernel, stride and pad along one axis."""
MOST_EXTENT = 1 << 14
"""Limit of each number in the parameters."""
_EXTENTS = {"kernel": "out_kernel", "stride": "out_stride", "pad": "out_pad"}


@register("UnPooling", dialect="cambricon", field="unpooling_param")
@dataclass(frozen=True)
class UnPooling(Layer):
    """Puts each element in the middle of its window in the top, or distributes it over the window.

    FIXED leaves the other elements 0; of several elements with one place the last one counts. REP sets the whole window
    to the element, DIV to the element divided by the size of the window, and where windows overlap the mean of theirs
    counts. With a second bottom the windows are chosen so that the top has its height and width.

    Shapes: (n, c, h, w) to (n, c, (h - 1) stride - 2 pad + kernel, ...).

    >>> UnPooling(kernel=(3, 3), stride=(2, 2), pad=(1, 1)).infer(((1, 8, 4, 5),), 1)
    ((1, 8, 7, 9),)

    Reference: `unpooling_layer.cpp` of Cambricon's Caffe.
    """

    kernel: Pair
    """Height and width of a window."""
    stride: Pair = (1, 1)
    """Distances of windows."""
    pad: Pair = (0, 0)
    """Rows and columns that are left out at each side of the top."""
    unpool: Literal["FIXED", "DIV", "REP"] = "FIXED"
    """What fills a window."""

    caffe_fields: ClassVar[CaffeFields] = {
        "kernel": tuple(f"unpooling_param.{field}" for field in ("out_kernel_size", "out_kernel_h", "out_kernel_w")),
        "stride": tuple(f"unpooling_param.{field}" for field in ("out_stride", "out_stride_h", "out_stride_w")),
        "pad": tuple(f"unpooling_param.{field}" for field in ("out_pad", "out_pad_h", "out_pad_w")),
    }
    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for missing or contradicting fields, E103 for a kernel or stride of 0, E104."""
        p = layer.message("unpooling_param")
        kind: Any = p.get("unpool", "FIXED")
        if kind not in ("FIXED", "DIV", "REP"):
            fail(f"`unpool` is {kind}: expected FIXED, DIV or REP", code="E103", field="unpool")
        kernel = _pair(p, "out_kernel_size", "out_kernel", None)
        result = cls(kernel, _pair(p, "out_stride", "out_stride", 1), _pair(p, "out_pad", "out_pad", 0), kind)
        for name, values, least in (("kernel", kernel, 1), ("stride", result.stride, 1), ("pad", result.pad, 0)):
            field = caffe_name(name)
            if min(values) < least:
                fail(f"`{field}` is {min(values)}: it must be positive", code="E103", field=field)
            if max(values) > MOST_EXTENT:
                fail(f"`{field}` must be at most {MOST_EXTENT}", code="E104", field=field)
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with one field for each axis."""
        pairs = {field: getattr(self, name) for name, field in _EXTENTS.items()}
        return {
            "unpool": self.unpool,
            **{f"{field}_{axis}": value for field, pair in pairs.items() for axis, value in zip("hw", pair)},
        }

    def windows(self, bottoms: Shapes) -> tuple[Window, Window]:
        """The windows along both axes. Raises NetcError E102 for padding as large as a window."""
        found = []
        for axis in (0, 1):
            window = self.kernel[axis], self.stride[axis], self.pad[axis]
            if len(bottoms) > 1:
                window = _fitted(bottoms[0][2 + axis], bottoms[1][2 + axis])
            found.append(window)
        if any(pad for _, _, pad in found):
            for kernel, _, pad in found:
                if pad >= kernel:
                    fail(f"padding of {pad} for a window of {kernel}", field="unpooling_param.out_pad")
        return found[0], found[1]

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottoms have four axes, and the top has elements."""
        for shape in bottoms:
            if len(shape) != 4:
                fail(f"expected a bottom with 4 axes, got {text(shape)}", field="bottom")
        x = bottoms[0]
        extents = [(e - 1) * s - 2 * p + k for e, (k, s, p) in zip(x[2:], self.windows(bottoms))]
        for extent in extents:
            if extent < 1:
                fail(f"the top of {text(x)} would have an extent of {extent}", field="unpooling_param.out_pad")
        return ((*x[:2], *extents),)

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The elements whose windows cover a place; one for FIXED."""
        windows = self.windows(tuple(bottoms))
        if len(fields[0]) != 2 or not all(known(kernel) for kernel, _, _ in windows):
            return None
        sizes = [(1 if self.unpool == "FIXED" else kernel, stride) for kernel, stride, _ in windows]
        return tuple(field.spread(kernel, stride) for field, (kernel, stride) in zip(fields[0], sizes))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero for FIXED, which copies; otherwise a product of matrices along each axis."""
        if self.unpool == "FIXED":
            return Cost()
        return Cost(macs=product(bottoms[0]) * tops[0][2] + product(tops[0]) * bottoms[0][3])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Rows and columns are computed one after the other, because windows are rectangles."""
        x, shapes = bottoms[0], tuple(tuple(bottom.shape) for bottom in bottoms)
        rows, columns = self.windows(shapes)
        _, _, height, width = self.infer(shapes, 1)[0]
        if self.unpool == "FIXED":
            return _placed(_placed(x, 2, rows, height), 3, columns, width)
        return self._shares(x, 2, rows, height) @ x @ self._shares(x, 3, columns, width).t()

    def _shares(self, x: Tensor, axis: int, window: Window, extent: int) -> Tensor:
        """What each position of the top takes of each element: a matrix (extent, elements)."""
        import torch

        kernel, stride, pad = window
        start = torch.arange(x.shape[axis], device=x.device) * stride - pad
        place = torch.arange(extent, device=x.device).unsqueeze(1)
        inside = (place >= start) & (place < start + kernel)
        share = inside.to(x.dtype) / inside.sum(1, keepdim=True).clamp(min=1)
        if self.unpool == "DIV":
            share = share / ((start + kernel).clamp(max=extent + pad) - start)
        return share


def _placed(x: Tensor, axis: int, window: Window, extent: int) -> Tensor:
    """The elements in the middle of their windows along one axis, zeros elsewhere."""
    import torch

    kernel, stride, pad = window
    elements = torch.arange(x.shape[axis], device=x.device)
    middle = ((2 * (elements * stride - pad) + kernel - 1).clamp(min=0) // 2).clamp(max=extent - 1)
    is_here = middle == torch.arange(extent, device=x.device).unsqueeze(1)
    source = torch.where(is_here, elements, -1).amax(1)
    filled = (source >= 0).reshape(-1, *(1,) * (3 - axis))
    return torch.where(filled, x.index_select(axis, source.clamp(min=0)), 0)


def _fitted(extent: int, wanted: int) -> Window:
    """The window that makes `extent` elements the wanted number."""
    if not known(extent) or not known(wanted):
        return wanted - extent + 1, 1, 0  # all unknown
    kernel = stride = ceil_div(wanted, extent)
    if stride == wanted:
        stride = 1
    return kernel, stride, ((extent - 1) * stride + kernel - wanted) // 2


def caffe_name(name: str) -> str:
    """The field that has the parameter for both axes."""
    return "out_kernel_size" if name == "kernel" else _EXTENTS[name]


def _pair(p: Fields, both: str, each: str, default: int | None) -> Pair:
    """The numbers of one field for both axes, or of one for each; the default without any."""
    given = [f"{each}_{axis}" in p for axis in "hw"]
    if any(given):
        if both in p or not all(given):
            fail(f"`{both}` and `{each}_h`, `{each}_w` exclude each other", code="E101", field=f"{each}_h")
        return (p[f"{each}_h"], p[f"{each}_w"])
    if both not in p and default is None:
        fail(f"`{both}` is missing", code="E101", help=f"set `{both}`, or `{each}_h` and `{each}_w`")
    value = p.get(both, default or 0)
    return (value, value)
