"""Unpooling: elements go back to where a pooling layer found them, or fill their windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.ir.dims import differ, known, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._labels import indices
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[int, int]


@register("Unpooling", dialect="deconvnet", field="unpooling_param", v1="UNPOOLING")
@dataclass(frozen=True)
class Unpooling(Layer):
    """Puts each element at one position of its window, or at all of them.

    MAX puts it at the position in the second bottom, the mask of a pooling layer, or at the start of its window without
    one; the other elements are 0, and of several elements with one position the last one counts. AVE adds the
    element divided by the size of its window to the whole window, TILE the element itself; the gradient is the mean
    over the window for both.

    Shapes: (n, c, h, w) to (n, c, `unpool_size`); without it, the extents that a pooling turns into h and w.

    >>> Unpooling(kernel=(2, 2), stride=(2, 2), unpool_size=(14, 14)).infer(((1, 512, 7, 7), (1, 512, 7, 7)), 1)
    ((1, 512, 14, 14),)

    Reference: `unpooling_layer.cpp` of DeconvNet; Noh, Hong, Han, Learning Deconvolution Network for Semantic
    Segmentation, 2015.
    """

    unpool: Literal["MAX", "AVE", "TILE"] = "MAX"
    """What fills a window."""
    kernel: Pair = (1, 1)
    """Height and width of a window."""
    stride: Pair = (1, 1)
    """Distances of windows."""
    unpool_size: Pair | None = None
    """Height and width of the top."""

    caffe_fields: ClassVar[CaffeFields] = {
        "kernel": tuple(f"unpooling_param.{name}" for name in ("kernel_size", "kernel_h", "kernel_w")),
        "stride": tuple(f"unpooling_param.{name}" for name in ("stride", "stride_h", "stride_w")),
        "unpool_size": tuple(f"unpooling_param.{name}" for name in ("unpool_size", "unpool_h", "unpool_w")),
    }
    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True

    @property
    def indices(self) -> tuple[int, ...]:  # type: ignore[override]
        """The mask, which the other methods do not read."""
        return (1,) if self.unpool == "MAX" else ()

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for missing or contradicting fields, E103 for an extent of 0 or padding."""
        p = layer.message("unpooling_param")
        for name in ("pad", "pad_h", "pad_w"):
            if p[name]:
                fail(f"`{name}` is {p[name]}: only unpooling without padding is supported", code="E103", field=name)
        if p["unpool"] not in ("MAX", "AVE", "TILE"):
            fail(
                f"`unpool` is {p['unpool']}, which only a layer of type `UnPooling` knows", code="E103", field="unpool"
            )
        kernel, size = _pair(p, "kernel_size", "kernel"), _pair(p, "unpool_size", "unpool")
        if kernel is None:
            fail("`kernel_size` is missing", code="E101", help="set `kernel_size`, or `kernel_h` and `kernel_w`")
        return cls(p["unpool"], kernel, _pair(p, "stride", "stride") or (1, 1), size)

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with one field for each axis."""
        kind = {"unpool": self.unpool} if self.unpool != "MAX" else {}
        pairs = {"kernel": self.kernel, "stride": self.stride, "unpool": self.unpool_size or ()}
        return {**kind, **{f"{name}_{axis}": e for name, pair in pairs.items() for axis, e in zip("hw", pair)}}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottom has four axes, and the mask its shape."""
        first = bottoms[0]
        if len(first) != 4:
            fail(f"expected 4 axes, got {len(first)}", field="bottom")
        if len(bottoms) > 1 and differ(bottoms[1], first):
            fail(f"the mask {text(bottoms[1])} has another shape than {text(first)}", field="bottom")
        plane = self.unpool_size or tuple(
            max((e - 1) * s + k, e * s + 1) if known(e) else e for e, s, k in zip(first[2:], self.stride, self.kernel)
        )
        return ((*first[:2], *plane),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero for MAX, which copies; otherwise one addition per element of each window."""
        from netc.ir.dims import product

        return Cost(operations=0 if self.unpool == "MAX" else product(bottoms[0]) * product(self.kernel))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a position outside the plane."""
        x = bottoms[0]
        n, c, h, w = self.infer(tuple(tuple(bottom.shape) for bottom in bottoms), 1)[0]
        if self.unpool != "MAX":
            return self._spread(x, (h, w))
        places = indices(bottoms[1], h * w, mode, what="position") if len(bottoms) > 1 else self._starts(x, (h, w))
        flat = x.reshape(n, c, -1)
        return x.new_zeros(n, c, h * w).scatter(2, places.reshape(n, c, -1), flat).view(n, c, h, w)

    def _starts(self, x: Tensor, size: Pair) -> Tensor:
        """The start of each window, within the plane."""
        import torch

        rows, columns = (
            (torch.arange(x.shape[axis + 2], device=x.device) * self.stride[axis]).clamp(max=size[axis] - 1)
            for axis in (0, 1)
        )
        return (rows[:, None] * size[1] + columns).expand(x.shape)

    def _spread(self, x: Tensor, size: Pair) -> Tensor:
        """AVE and TILE."""
        import torch
        import torch.nn.functional as F

        lengths = []
        for axis in (0, 1):
            start = torch.arange(x.shape[axis + 2], device=x.device) * self.stride[axis]
            lengths.append(((start + self.kernel[axis]).clamp(max=size[axis]) - start).clamp(min=1))
        mean = x / (lengths[0][:, None] * lengths[1])
        if self.unpool == "TILE":
            mean = mean + (x - mean).detach()
        n, c, h, w = x.shape
        count = self.kernel[0] * self.kernel[1]
        columns = mean.reshape(n, c, 1, h * w).expand(n, c, count, h * w).reshape(n, c * count, h * w)
        whole = tuple((e - 1) * s + k for e, s, k in zip((h, w), self.stride, self.kernel))
        filled = F.fold(columns, whole, self.kernel, stride=self.stride)[:, :, : size[0], : size[1]]
        return F.pad(filled, (0, size[1] - filled.shape[3], 0, size[0] - filled.shape[2]))


def _pair(p: Fields, both: str, each: str) -> Pair | None:
    """The extents of one field for both axes, or of one for each; None without any."""
    given = [f"{each}_{axis}" in p for axis in "hw"]
    if any(given) and (both in p or not all(given)):
        fail(f"`{both}` and `{each}_h`, `{each}_w` exclude each other", code="E101", field=f"{each}_h")
    if not any(given) and both not in p:
        return None
    pair = (p[f"{each}_h"], p[f"{each}_w"]) if any(given) else (p[both], p[both])
    if 0 in pair:
        fail(f"`{both}` is 0: it must be 1 or more", code="E103", field=both if both in p else f"{each}_h")
    return pair
