"""Gather of synopsys' Caffe, which selects elements along an axis; Gather and Scatter of yjxiong's, for MPI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Sees
from netc.layers._axes import axis_of
from netc.layers._registry import LayerUse, register

if TYPE_CHECKING:
    from torch import Tensor

FIELD = "gather_param"
SCALAR = (0,)
"""The `shape` of a single index without axes."""


def _has_indices(use: LayerUse) -> bool:
    """Whether the layer has `gather_param`."""
    return FIELD in use.parameters


def _has_none(use: LayerUse) -> bool:
    """Whether the layer has no `gather_param`."""
    return FIELD not in use.parameters


@register("Gather", dialect="synopsys", field=FIELD, when=_has_indices)
@dataclass(frozen=True)
class Gather(Layer):
    """Selects elements along `axis` by fixed indices, which may repeat; the extents of `shape` replace the axis.

    The original layer has no backward pass; here each element receives the sum of the gradients of its copies.

    Shapes: (..., e, ...) to (..., *shape, ...). Without a shape, or with the shape 0, there is one index, and the axis
    is removed.

    >>> Gather((3, 0), (2,), axis=1).infer(((2, 5, 4),), 1), Gather((3,), axis=1).infer(((2, 5, 4),), 1)
    (((2, 2, 4),), ((2, 4),))

    Reference: `gather_layer.cpp` of synopsys-caffe.
    """

    places: tuple[int, ...]
    """The indices: places along the axis, from 0 on."""
    shape: Shape = ()
    """The extents of the indices."""
    axis: int = 0
    """The axis along which elements are selected; negative ones count from the end."""

    caffe_fields: ClassVar[CaffeFields] = {"places": (f"{FIELD}.indices",)}
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101, E103."""
        p = layer.message(FIELD)
        return cls(tuple(p["indices"]), tuple(p["shape"]), p["axis"])

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message."""
        values = super().to_caffe()
        return {"indices": values.pop("places"), **values}

    def __post_init__(self) -> None:
        """Raises NetcError E101 if shape and indices do not agree, E103 for a negative index."""
        if not self.places or len(self.places) != product(self.extents):
            fail(f"`shape` {text(self.shape)} does not hold {len(self.places)} `indices`", code="E101", field="indices")
        if any(place < 0 for place in self.places):
            fail(f"index {min(self.places)} is negative", code="E103", field="indices")

    @property
    def extents(self) -> Shape:
        """The extents that replace that of the axis."""
        return () if self.shape == SCALAR else self.shape

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an axis that is out of range, or has fewer elements than an index requires."""
        (bottom,) = bottoms
        axis = axis_of(self.axis, bottom)
        if max(self.places) >= bottom[axis]:
            extent = counted(bottom[axis], "element")
            fail(f"index {max(self.places)} on axis {axis}, which has {extent}", field="indices")
        return ((*bottom[:axis], *self.extents, *bottom[axis + 1 :]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        axis = axis_of(self.axis, tuple(x.shape))
        top = torch.stack([x.select(axis, place) for place in self.places], axis)
        return top.reshape(*x.shape[:axis], *self.extents, *x.shape[axis + 1 :])


@dataclass(frozen=True)
class BetweenProcesses(Layer):
    """Base of both: the tops are the bottoms, which is what the originals do without MPI."""

    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(1, None)
    same_count: ClassVar[bool] = True
    in_place: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"
    is_identity_in_test: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Each top has the shape of its bottom."""
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Returns views, so that each top has its own gradient."""
        return tuple(bottom.view_as(bottom) for bottom in bottoms)


@register("Gather", dialect="yjxiong", when=_has_none)
@dataclass(frozen=True)
class GatherProcesses(BetweenProcesses):
    """Returns its bottoms: the original concatenates the batches of MPI's processes, of which there is one here.

    The processes of `netc train` average their gradients instead, each over its own batch. That is what the original
    computes if the loss is the mean over items.

    Shapes: any, kept.

    >>> GatherProcesses().infer(((32, 101), (32,)), 2)
    ((32, 101), (32,))

    Reference: `gather_layer.cpp` of yjxiong's Caffe, also in hszhao/PSPNet.
    """


@register("Scatter", dialect="yjxiong")
@dataclass(frozen=True)
class Scatter(BetweenProcesses):
    """Returns its bottoms: the original gives each of MPI's processes its part of a batch, and there is one here.

    Shapes: any, kept.

    >>> Scatter().infer(((32, 101), (32,)), 2)
    ((32, 101), (32,))

    Reference: `scatter_layer.cpp` of yjxiong's Caffe, also in hszhao/PSPNet.
    """
