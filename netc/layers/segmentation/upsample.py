"""Upsample: values go back to where a pooling layer found them, or each one is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.coordinate_map import CoordinateMap
from netc.ir.dims import Shape, differ, known, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveFields
from netc.ir.traits import Elements
from netc.layers._labels import indices
from netc.layers._registry import LayerUse, register

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[int, int]


def _has_mask(use: LayerUse) -> bool:
    """Whether there are two bottoms, the second of them the mask of a pooling layer."""
    return use.bottoms == 2


def _has_none(use: LayerUse) -> bool:
    """Whether there is one bottom."""
    return use.bottoms == 1


@register("Upsample", dialect="segnet", field="upsample_param", when=_has_mask)
@dataclass(frozen=True)
class MaxUnpooling(Layer):
    """Puts each element where a max pooling found it, according to its mask; the other elements are 0.

    The second bottom holds positions in a plane of the top, such as the second top of a Pooling layer. Of several
    elements with one position the last one counts; the gradient reaches all of them.

    Shapes: (n, c, h, w) twice to (n, c, `size`); without `size`, h and w times `scale`, minus `pad_out`.

    >>> MaxUnpooling(pad_out=(1, 0)).infer(((1, 64, 18, 15), (1, 64, 18, 15)), 1)
    ((1, 64, 35, 30),)

    Reference: `upsample_layer.cpp` of SegNet's and ENet's Caffe.
    """

    scale: Pair = (2, 2)
    """Factors of height and width; no effect with `size`."""
    pad_out: Pair = (0, 0)
    """Rows and columns to leave out at the end, for a pooling layer that rounded up; needs a scale of 2."""
    size: Pair | None = None
    """Height and width of the top."""

    caffe_fields: ClassVar[CaffeFields] = {
        "scale": ("upsample_param.scale", "upsample_param.scale_h", "upsample_param.scale_w"),
        "pad_out": ("upsample_param.pad_out_h", "upsample_param.pad_out_w"),
        "size": ("upsample_param.upsample_h", "upsample_param.upsample_w"),
    }
    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message. Raises NetcError E101 for contradicting sizes, E103 for an invalid one."""
        p = layer.message("upsample_param")
        if "upsample_h" in p and "upsample_w" in p:
            size = (p["upsample_h"], p["upsample_w"])
            _check("upsample_h", size)
            return cls(size=size)
        each = ("scale_h" in p, "scale_w" in p)
        if any(each) and ("scale" in p or not all(each)):
            fail("`scale` and `scale_h`, `scale_w` exclude each other", code="E101", field="scale_h")
        scale = (p["scale_h"], p["scale_w"]) if all(each) else (p["scale"],) * 2
        _check("scale_h" if all(each) else "scale", scale)
        pad_out = (int(p["pad_out_h"]), int(p["pad_out_w"]))
        for name, pad, factor in zip(("pad_out_h", "pad_out_w"), pad_out, scale):
            if pad and factor != 2:
                fail(f"`{name}` needs a scale of 2, got {factor:g}", code="E103", field=name)
        return cls((int(scale[0]), int(scale[1])), pad_out)

    def to_caffe(self) -> dict[str, Any]:
        """`upsample_h` and `upsample_w`, or the scale and the padding."""
        if self.size is not None:
            return dict(zip(("upsample_h", "upsample_w"), self.size))
        h, w = self.scale
        scale = {"scale": h} if h == w else {"scale_h": h, "scale_w": w}
        return {**scale, **{f"pad_out_{axis}": True for axis, pad in zip("hw", self.pad_out) if pad}}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless both bottoms have the same four axes."""
        first, mask = bottoms
        if len(first) != 4 or differ(first, mask):
            fail(f"expected two bottoms with the same 4 axes, got {text(first)} and {text(mask)}", field="bottom")
        plane = self.size or tuple(e * s - p for e, s, p in zip(first[2:], self.scale, self.pad_out))
        return ((*first[:2], *plane),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a position outside the plane."""
        x, mask = bottoms
        n, c, h, w = self.infer((tuple(x.shape), tuple(mask.shape)), 1)[0]
        places = indices(mask, h * w, mode, what="position").reshape(n, c, -1)
        return x.new_zeros(n, c, h * w).scatter(2, places, x.reshape(n, c, -1)).reshape(n, c, h, w)


@register("Upsample", dialect="mobilenet_yolo", field="upsample_param", v1="UPSAMPLE", when=_has_none)
@dataclass(frozen=True)
class NearestUpsampling(Layer):
    """Repeats each element `scale` times along the last two axes.

    Shapes: (..., h, w) to (..., h scale, w scale), rounded down.

    >>> NearestUpsampling(2).infer(((1, 256, 13, 13),), 1)
    ((1, 256, 26, 26),)

    Reference: `upsample_layer.cpp` of MobileNet-YOLO.
    """

    scale: float = 1.0
    """The number of repetitions; a fraction is that of caffe2onnx."""

    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for a field of the other meaning, E103 unless the scale is positive."""
        p = layer.message("upsample_param")
        scale, kind = p.get("scale", 1.0), p.get("mode", "nearest")
        for name in ("scale_h", "scale_w", "pad_out_h", "pad_out_w", "upsample_h", "upsample_w"):
            if name in p:
                fail(f"`{name}` needs a mask as second bottom", code="E101", field=name)
        if not 0 < scale < 2**31:
            fail(f"`scale` is {scale:g}: it must be positive", code="E103", field="scale")
        if kind.lower() != "nearest":
            fail(f"unsupported `mode` `{kind}`", code="E103", field="mode")
        return cls(scale)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for fewer than two axes, or if nothing is left."""
        first = bottoms[0]
        if len(first) < 2:
            fail(f"expected at least 2 axes, got {len(first)}", field="bottom")
        plane = tuple(self._extent(extent) for extent in first[-2:])
        if any(extent < 1 for extent in plane):
            fail(f"no element is left of {text(first)}", field="scale")
        return ((*first[:-2], *plane),)

    def _extent(self, extent: int) -> int:
        if int(self.scale) == self.scale or not known(extent):
            return extent * int(self.scale)
        return int(extent * self.scale)

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """The center of the copies of an element."""
        return ((self.scale, (self.scale - 1) / 2),) * axes

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """One element; None if the scale is a fraction."""
        if int(self.scale) != self.scale:
            return None
        factor = int(self.scale)
        return tuple(field.spread(factor, factor) for field in fields[0])

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Integer scales are torch's nearest interpolation."""
        x = bottoms[0]
        h, w = self.infer((tuple(x.shape),), 1)[0][-2:]
        return _repeated(_repeated(x, -2, h, self.scale), -1, w, self.scale)


def _repeated(x: Tensor, axis: int, extent: int, scale: float) -> Tensor:
    """The elements of one axis at positions divided by `scale`."""
    import torch

    if int(scale) == scale:
        return x.repeat_interleave(int(scale), axis)
    place = (torch.arange(extent, device=x.device) / scale).long().clamp(max=x.shape[axis] - 1)
    return x.index_select(axis, place)


def _check(name: str, factors: Sequence[float]) -> None:
    for factor in factors:
        if not 2 <= factor < 2**31 or factor % 1:
            fail(f"`{name}` is {factor:g}: it must be an integer greater than 1", code="E103", field=name)
