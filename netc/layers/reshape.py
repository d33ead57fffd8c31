"""Changes of shape and repetition: Reshape, Flatten, Tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveFields, by_shape
from netc.ir.traits import Elements, Sees
from netc.layers._axes import axis_of
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor, nn

KEEP, INFER = 0, -1
"""Values in `shape` that denote the bottom's extent and the remaining elements."""


@register("Reshape", field="reshape_param")
@dataclass(frozen=True)
class Reshape(Layer):
    """Replaces `num_axes` axes from `axis` on by `shape`: 0 keeps the bottom's extent, a single -1 is inferred.

    Shapes: as in `shape`; the number of elements is unchanged. A 0 at index i keeps the extent of the bottom's axis
    `axis` + i, which need not be replaced.

    >>> Reshape(shape=(0, -1, 2)).infer(((2, 6, 4),), 1)
    ((2, 12, 2),)
    >>> Reshape(shape=(3, 2), axis=1, num_axes=1).infer(((2, 6, 4),), 1)
    ((2, 3, 2, 4),)

    Reference: `reshape_layer.cpp`.
    """

    shape: Shape = ()
    """The new extents."""
    axis: int = 0
    """The first axis that is replaced; negative ones count from the end, -1 being the position after the last axis."""
    num_axes: int = -1
    """Number of axes to replace: -1 means all up to the last, 0 inserts axes."""

    shares_memory: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """Known if the spatial axes are kept, or none are left."""
        return by_shape(fields[0], bottoms[0], top)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for a second -1, E103 for numbers below -1."""
        p = layer.message("reshape_param")
        return cls(tuple(p.message("shape").get("dim", ())), p.get("axis", 0), p.get("num_axes", -1))

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `shape` as a message."""
        values = super().to_caffe()
        if "shape" in values:
            values["shape"] = {"dim": list(values["shape"])}
        return values

    def __post_init__(self) -> None:
        """Raises NetcError E101 for a second -1, E103 for numbers below -1."""
        if self.shape.count(INFER) > 1:
            fail(f"`shape` {text(self.shape)} has more than one -1", code="E101", field="shape")
        if any(extent < INFER for extent in self.shape):
            fail(f"`shape` {text(self.shape)} has an extent below -1", code="E103", field="shape")
        if self.num_axes < -1:
            fail(f"`num_axes` is {self.num_axes}: it must be at least -1", code="E103", field="num_axes")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottom lacks axes, or the numbers of elements differ."""
        return (self._top(bottoms[0]),)

    def _top(self, bottom: Shape) -> Shape:
        start, end = self._replaced(bottom)
        new = [self._kept(bottom, start + i) if extent == KEEP else extent for i, extent in enumerate(self.shape)]
        if INFER in self.shape:
            new[self.shape.index(INFER)] = self._rest(bottom, start, end)
        elif differ(product(new), product(bottom[start:end])):
            self._misfit(bottom, product(new), product(bottom[start:end]))
        return (*bottom[:start], *new, *bottom[end:])

    def _replaced(self, bottom: Shape) -> tuple[int, int]:
        """Return the first axis to replace, and the one after the last."""
        axes = len(bottom)
        start = self.axis if self.axis >= 0 else axes + self.axis + 1
        if not 0 <= start <= axes:
            fail(f"axis {self.axis} of a bottom with {counted(axes, 'axis')}", field="axis")
        end = axes if self.num_axes == -1 else start + self.num_axes
        if end > axes:
            fail(
                f"`num_axes` {self.num_axes} from axis {start} of a bottom with {counted(axes, 'axis')}",
                field="num_axes",
            )
        return start, end

    def _kept(self, bottom: Shape, axis: int) -> int:
        if axis >= len(bottom):
            fail(f"a 0 in `shape` keeps axis {axis} of a bottom with {counted(len(bottom), 'axis')}", field="shape")
        return bottom[axis]

    def _rest(self, bottom: Shape, start: int, end: int) -> int:
        """Return the extent for -1. Axes kept by a 0 cancel out, so that it is known even if the batch size is not."""
        kept = {start + i for i, extent in enumerate(self.shape) if extent == KEEP}
        old = product(extent for axis, extent in enumerate(bottom[:end]) if axis >= start and axis not in kept)
        new = product(extent for extent in self.shape if extent > 0) * product(bottom[i] for i in kept if i >= end)
        if new < 1 or differ(old % new, 0):
            self._misfit(bottom, new, old)
        return old // new

    def _misfit(self, bottom: Shape, new: int, old: int) -> None:
        notes = f"`shape` is {text(self.shape)}, the bottom is {text(bottom)}"
        if INFER in self.shape:
            fail(f"the number of elements, {old}, is not a multiple of {new}", notes, field="shape")
        fail(f"{counted(old, 'element')} cannot become {new}", notes, field="shape")

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The shape is computed from the actual bottom."""
        return bottoms[0].reshape(self._top(tuple(bottoms[0].shape)))


@register("Flatten", field="flatten_param", v1="FLATTEN")
@dataclass(frozen=True)
class Flatten(Layer):
    """Merges the axes from `axis` to `end_axis`, both included, into one.

    Shapes: (n, c, h, w) to (n, c h w). With `end_axis` just before `axis`, an axis of extent 1 is inserted.

    >>> Flatten().infer(((2, 3, 5, 7),), 1), Flatten(axis=1, end_axis=2).infer(((2, 3, 5, 7),), 1)
    (((2, 105),), ((2, 15, 7),))

    Reference: `flatten_layer.cpp`.
    """

    axis: int = 1
    """First axis to flatten."""
    end_axis: int = -1
    """Last axis to flatten, included."""

    shares_memory: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottom lacks an axis, E101 if `end_axis` is before `axis`."""
        bottom = bottoms[0]
        start, end = self._axes(bottom)
        return ((*bottom[:start], product(bottom[start:end]), *bottom[end:]),)

    def _axes(self, bottom: Shape) -> tuple[int, int]:
        """Return the first axis, and the one after the last."""
        start, end = axis_of(self.axis, bottom), axis_of(self.end_axis, bottom, "end_axis") + 1
        if end < start:
            fail(f"`end_axis` {self.end_axis} is before `axis` {self.axis}", code="E101", field="end_axis")
        return start, end

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def module(self, bottoms: Shapes, tops: int) -> nn.Module | None:
        """torch.nn.Flatten, unless an axis is inserted."""
        from torch import nn

        start, end = self._axes(bottoms[0])
        return nn.Flatten(self.axis, self.end_axis) if start < end else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        start, end = self._axes(tuple(bottoms[0].shape))
        return bottoms[0].flatten(start, end - 1) if start < end else bottoms[0].unsqueeze(start)


@register("Tile", field="tile_param")
@dataclass(frozen=True)
class Tile(Layer):
    """Repeats its bottom `tiles` times along `axis`.

    Shapes: (n, c, h, w) to (n, tiles c, h, w) for axis 1.

    >>> Tile(tiles=3).infer(((2, 5, 7),), 1)
    ((2, 15, 7),)

    Reference: `tile_layer.cpp`.
    """

    tiles: int
    """Number of copies."""
    axis: int = 1
    """The axis along which the copies are concatenated."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 if `tiles` is missing, E103 if it is not positive."""
        p = layer.message("tile_param")
        if "tiles" not in p:
            fail("`tiles` is missing", code="E101", help="set `tile_param { tiles: ... }`")
        return super().from_caffe(layer)

    def __post_init__(self) -> None:
        """Raises NetcError E103 if `tiles` is not positive."""
        if self.tiles <= 0:
            fail(f"`tiles` is {self.tiles}: it must be positive", code="E103", field="tiles")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottom does not have the axis."""
        bottom = bottoms[0]
        axis = axis_of(self.axis, bottom)
        return ((*bottom[:axis], bottom[axis] * self.tiles, *bottom[axis + 1 :]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        times = [1] * bottoms[0].dim()
        times[self.axis] = self.tiles
        return bottoms[0].repeat(times)
