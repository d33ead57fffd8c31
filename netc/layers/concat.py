"""Concatenation, splitting along an axis, and copies: Concat, Slice, Split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import differ
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Role, Sees
from netc.layers._axes import agreed, axis_of
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


def _axis(parameters: Fields, old: str) -> int:
    """Return `axis` under its current or older name. Raises NetcError E101 if both are set."""
    if old not in parameters:
        return int(parameters.get("axis", 1))
    if "axis" in parameters:
        fail(
            f"`axis` and `{old}` exclude each other",
            code="E101",
            field=old,
            help=f"`{old}` is the older name: remove it",
        )
    return int(parameters[old])


@register("Concat", field="concat_param", v1="CONCAT")
@dataclass(frozen=True)
class Concat(Layer):
    """Concatenates its bottoms along `axis`.

    Shapes: (n, c1, h, w), (n, c2, h, w), ... to (n, c1 + c2 + ..., h, w) for axis 1.

    >>> Concat().infer(((2, 3, 5, 7), (2, 4, 5, 7)), 1)
    ((2, 7, 5, 7),)

    Reference: `concat_layer.cpp`.
    """

    axis: int = 1
    """The axis to concatenate along; its older name `concat_dim` is also accepted."""

    caffe_fields: ClassVar[CaffeFields] = {"axis": ("concat_param.axis", "concat_param.concat_dim")}
    bottom_count: ClassVar[Count] = Count(1, None)
    role: ClassVar[Role] = "inner"
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 if both `axis` and `concat_dim` are set."""
        return cls(_axis(layer.message("concat_param"), "concat_dim"))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms differ at another axis, or do not have the axis."""
        axis = axis_of(self.axis, bottoms[0])
        top = agreed(bottoms, free=axis)
        return ((*top[:axis], sum(bottom[axis] for bottom in bottoms), *top[axis + 1 :]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return torch.cat(tuple(bottoms), self.axis)


@register("Slice", field="slice_param", v1="SLICE")
@dataclass(frozen=True)
class Slice(Layer):
    """Splits its bottom along `axis`, at the given points or into equal parts, one per top.

    Shapes: (n, c, h, w) to (n, p1, h, w), (n, p2 - p1, h, w), ..., (n, c - pk, h, w) for axis 1 and k points.

    >>> Slice(slice_point=(1, 4)).infer(((2, 6, 5, 7),), 3)
    ((2, 1, 5, 7), (2, 3, 5, 7), (2, 2, 5, 7))

    Reference: `slice_layer.cpp`.
    """

    axis: int = 1
    """The axis to split along; its older name `slice_dim` is also accepted."""
    slice_point: tuple[int, ...] = ()
    """Where each top except the first begins; empty for equal parts."""

    caffe_fields: ClassVar[CaffeFields] = {"axis": ("slice_param.axis", "slice_param.slice_dim")}
    top_count: ClassVar[Count] = Count(1, None)
    role: ClassVar[Role] = "inner"
    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 if both `axis` and `slice_dim` are set, E103 for points that do not increase."""
        p = layer.message("slice_param")
        return cls(_axis(p, "slice_dim"), tuple(p.get("slice_point", ())))

    def __post_init__(self) -> None:
        """Raises NetcError E103 for points that do not increase."""
        for before, point in zip((0, *self.slice_point), self.slice_point):
            if point <= before:
                fail(f"`slice_point` {point} follows {before}: points must increase", code="E103", field="slice_point")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 or E102 if points, tops and the bottom do not match."""
        bottom = bottoms[0]
        axis = axis_of(self.axis, bottom)
        return tuple((*bottom[:axis], part, *bottom[axis + 1 :]) for part in self._parts(bottom[axis], tops))

    def _parts(self, extent: int, tops: int) -> tuple[int, ...]:
        points = self.slice_point
        if not points:
            if differ(extent % tops, 0):
                fail(f"{extent} at axis {self.axis} cannot be split into {counted(tops, 'equal top')}", field="top")
            return (extent // tops,) * tops
        if len(points) != tops - 1:
            fail(
                f"expected {counted(tops - 1, 'value')} of `slice_point` for {counted(tops, 'top')}, got {len(points)}",
                code="E101",
                field="slice_point",
            )
        if tops > extent or points[-1] > extent:
            fail(
                f"{extent} at axis {self.axis} cannot be split into "
                f"{counted(tops, 'top')} at `slice_point` {points[-1]}",
                field="slice_point",
            )
        return tuple(end - start for start, end in zip((0, *points), (*points, extent)))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        parts = self._parts(bottoms[0].shape[self.axis], mode.tops)
        return torch.split(bottoms[0], list(parts), self.axis)


@register("Split", v1="SPLIT")
@dataclass(frozen=True)
class Split(Layer):
    """Copies its bottom to each top; the gradient is the sum of the tops' gradients.

    Shapes: any, kept.

    >>> Split().infer(((2, 3),), 2)
    ((2, 3), (2, 3))

    Reference: `split_layer.cpp`.
    """

    top_count: ClassVar[Count] = Count(1, None)
    keeps_sign: ClassVar[bool] = True
    shares_values: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"
    is_identity_in_test: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Computed as described in the class docstring."""
        return bottoms * tops

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the additions of the backward pass are not counted."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Returns views, so that each top has its own gradient."""
        return tuple(bottoms[0].view_as(bottoms[0]) for _ in range(mode.tops))
