"""Resample and Downsample: images in another size, as products with matrices of weights for rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.ir.dims import agree, known, product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements
from netc.layers._registry import register
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor


MOST = 1024
"""The largest factor."""


class _Sized(Layer):
    """Base of both: the second bottom, if there is one, sets the size of the top."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def size(self, bottoms: Shapes) -> tuple[int, int]:
        """Height and width of the top."""
        raise NotImplementedError

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101, E102 for a size that is not positive."""
        n, c, *_ = planes(self.type, bottoms)[0]
        height, width = self.size(bottoms)
        if height < 1 or width < 1:
            fail(f"the size of the top is {height} x {width}: it must be positive", help="set its height and width")
        return ((n, c, height, width),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Four operations per element of the top."""
        return Cost(operations=4 * product(tops[0]))


@register("Resample", dialect="flownet2", field="resample_param")
@dataclass(frozen=True)
class Resample(_Sized):
    """Resizes images, with a filter that grows with the factor where an image shrinks (`antialias`).

    A top element at x is at x f + f / 2 - 1/2 in the bottom, where f is the ratio of the extents; the second f is that
    of the other axis, as in FlowNet2. `LINEAR` weights the elements around by a triangle, `CUBIC` by Keys' kernel
    (a = -1/2), and divides by the sum of the weights inside. FlowNet2 has no backward pass; the gradient here is that
    of the interpolation.

    Shapes: (n, c, h, w) to (n, c, height, width); a second bottom sets the size instead of the parameters.

    >>> Resample(height=8, width=10).infer(((1, 2, 4, 5),), 1), Resample().infer(((1, 2, 4, 5), (1, 3, 7, 9)), 1)
    (((1, 2, 8, 10),), ((1, 2, 7, 9),))

    Reference: `resample_layer.cu` of FlowNet2 (lmb-freiburg/flownet2).
    """

    height: int = 0
    """Height of the top."""
    width: int = 0
    """Width of the top."""
    method: Literal["NEAREST", "LINEAR", "CUBIC"] = "LINEAR"
    """How the elements between those of the bottom are computed."""
    antialias: bool = True
    """Whether the filter grows with the factor if an axis shrinks."""
    factor: float = 1.0
    """Height and width are those of the bottom times this number if neither is set (OpenVINO)."""

    caffe_fields: ClassVar[CaffeFields] = {"method": ("resample_param.type",)}

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """`NEAREST` repeats elements or leaves them out."""
        return "moved" if self.method == "NEAREST" else "computed"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a method that FlowNet2 does not implement, and for an invalid factor."""
        p = layer.message("resample_param")
        names = ("height", "width", "antialias", "factor")
        result = cls(method=p["type"], **{name: p[name] for name in names if name in p})
        if result.method not in ("NEAREST", "LINEAR", "CUBIC"):
            fail(f"FlowNet2 has no `{result.method}` interpolation", code="E103", field="type")
        if not 0 < result.factor <= MOST:
            fail(f"`factor` is {result.factor}: expected a positive number up to {MOST}", code="E103", field="factor")
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message."""
        return {("type" if name == "method" else name): value for name, value in super().to_caffe().items()}

    def size(self, bottoms: Shapes) -> tuple[int, int]:
        """That of the second bottom, of the parameters, or the first bottom's times `factor`."""
        if len(bottoms) > 1:
            planes(self.type, bottoms)
            return bottoms[1][2], bottoms[1][3]
        if self.height or self.width or self.factor == 1:
            return self.height, self.width
        height, width = (int(e * self.factor) if known(e) else e for e in bottoms[0][2:])
        return height, width

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A product with a matrix for rows, and one for columns."""
        from netc.layers.optical_flow._filters import nearest, resampling

        x = bottoms[0]
        top, bottom = self.size(tuple(tuple(b.shape) for b in bottoms)), x.shape[2:]
        if self.method == "NEAREST":
            rows, columns = nearest(bottom, top, x.device)
            return x.index_select(2, rows).index_select(3, columns)
        rows, columns = resampling(bottom, top, self.method == "CUBIC", self.antialias, x)
        return rows @ x @ columns.t()


@register("Downsample", dialect="flownet2", field="downsample_param")
@dataclass(frozen=True)
class Downsample(_Sized):
    """Resizes images, usually flows, to a smaller size by a triangle filter; NaN elements are left out.

    The corners of the bottom and the top coincide. An element is NaN if the weights of the NaN elements exceed half of
    the other weights. A bottom of the top's size is passed on. FlowNet2 has no backward pass; the gradient here is that
    of the filter.

    Shapes: (n, c, h, w) to (n, c, top_height, top_width); a second bottom sets the size instead of the parameters.

    >>> Downsample(top_height=2, top_width=3).infer(((1, 2, 8, 9),), 1)
    ((1, 2, 2, 3),)

    Reference: `downsample_layer.cu` of FlowNet2 (lmb-freiburg/flownet2).
    """

    top_height: int = 0
    """Height of the top."""
    top_width: int = 0
    """Width of the top."""

    def size(self, bottoms: Shapes) -> tuple[int, int]:
        """That of the second bottom, or of the parameters."""
        if len(bottoms) > 1:
            planes(self.type, bottoms)
            return bottoms[1][2], bottoms[1][3]
        return self.top_height, self.top_width

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a size that is not positive, and for one row or column made of several."""
        (top,) = super().infer(bottoms, tops)
        for extent, own in zip(bottoms[0][2:], top[2:]):
            if agree(own, 1) and extent > 1:
                fail(f"FlowNet2 cannot resize an extent of {extent} to 1: its corners have no place", field="bottom")
        return (top,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Weights of rows and columns, applied to the elements and to what is not NaN."""
        import torch

        from netc.layers.optical_flow._filters import downsampling

        x = bottoms[0]
        top = self.size(tuple(tuple(b.shape) for b in bottoms))
        if top == tuple(x.shape[2:]):
            return x.clone()
        rows, columns = downsampling(x.shape[2:], top, x)
        missing = x.isnan()
        total = rows @ torch.where(missing, 0.0, x) @ columns.t()
        left_out = rows @ missing.to(x.dtype) @ columns.t()
        weight = rows @ (~missing).to(x.dtype) @ columns.t()
        return torch.where(left_out > weight / 2, float("nan"), total / weight)
