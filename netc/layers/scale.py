"""Scale and Bias: a factor and an addend for consecutive axes, learned or from a second bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, canonical_axis, differ, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Affine, Cost, Count, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Broadcast(Layer):
    """Base of Scale and Bias: which axes of the first bottom the operand corresponds to."""

    axis: int = 1
    """The axis of the first bottom that the first axis of the operand corresponds to; no effect for a scalar."""
    num_axes: int = 1
    """Number of axes of a learned operand, -1 for all from `axis` on; no effect for a second bottom."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    in_place: ClassVar[bool] = True
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"
    affine: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message. Raises NetcError E103."""
        result = super().from_caffe(layer)
        if result.num_axes < -1:
            fail(f"`num_axes` is {result.num_axes}: it must be -1 or more", code="E103", field="num_axes")
        return result

    def operand(self, bottoms: Shapes) -> Shape:
        """Return the operand's shape. Raises NetcError E102 if it does not match the first bottom."""
        axes = len(bottoms[0])
        axis = canonical_axis(self.axis, axes)
        if axis is None:
            if len(bottoms) == 2 and bottoms[1] == ():
                return ()
            fail(f"axis {self.axis} of a bottom with {counted(axes, 'axis')}", field="axis")
        if len(bottoms) == 2:
            return self._second(bottoms, axis)
        end = axes if self.num_axes == -1 else axis + self.num_axes
        if end > axes:
            fail(
                f"{counted(self.num_axes, 'axis')} from axis {axis} of a bottom with {counted(axes, 'axis')}",
                field="num_axes",
            )
        return bottoms[0][axis:end]

    def _second(self, bottoms: Shapes, axis: int) -> Shape:
        first, second = bottoms
        across = first[axis : axis + len(second)]
        if second and differ(across, second):
            fail(f"{text(second)} does not match {text(first)} from axis {axis} on", field="bottom")
        return second

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The first bottom's shape. Raises NetcError E102 if the operand does not match it."""
        self.operand(bottoms)
        return (bottoms[0],)

    def spread(self, operand: Tensor, bottom: Tensor) -> Tensor:
        """Return a view of the operand that broadcasts over the bottom. Raises NetcError E102 if it does not match."""
        self.operand((tuple(bottom.shape), tuple(operand.shape)))
        if operand.dim() == 0:
            return operand
        trailing = bottom.dim() - self.axis % bottom.dim() - operand.dim()
        return operand.reshape(*operand.shape, *[1] * trailing)


@register("Scale", field="scale_param")
@dataclass(frozen=True)
class Scale(Broadcast):
    """Multiplies the first bottom by a learned factor or by the second bottom, then adds a learned bias.

    Shapes: (n, c, h, w) to the same; the factor has the extents of `num_axes` axes from `axis` on.

    >>> [w.shape for w in Scale(axis=1, num_axes=2, bias_term=True).weights(((2, 3, 7, 6),))]
    [(3, 7), (3, 7)]

    Reference: `scale_layer.cpp`.
    """

    filler: Filler = field(default_factory=lambda: Filler(value=1.0))
    """How the factor is initialized; ones by default."""
    bias_term: bool = False
    """Whether a learned bias is added after the multiplication."""
    bias_filler: Filler = field(default_factory=Filler)
    """How the bias is initialized."""

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`, unless it is the second bottom, and `bias` with `bias_term`, both with the factor's shape."""
        shape = self.operand(bottoms)
        weight, bias = Weight("weight", shape, self.filler), Weight("bias", shape, self.bias_filler)
        return (weight,) * (len(bottoms) == 1) + (bias,) * self.bias_term

    def channel_affine(self, blobs: Sequence[Any], axes: int) -> Affine | None:
        """The factor and the bias, if there is one for each channel."""
        if self.num_axes != 1 or self.axis not in (1, 1 - axes):
            return None
        return blobs[0], blobs[1] if self.bias_term else blobs[0] * 0

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication per element, and one addition with a bias."""
        return Cost(operations=product(tops[0]) * (1 + self.bias_term))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        factor = self.spread((*bottoms, *weights)[1], bottoms[0])
        if not self.bias_term:
            return bottoms[0] * factor
        return torch.addcmul(self.spread(weights[-1], bottoms[0]), bottoms[0], factor)


@register("Bias", field="bias_param")
@dataclass(frozen=True)
class Bias(Broadcast):
    """Adds a learned bias or the second bottom to the first bottom.

    Shapes: (n, c, h, w) to the same; the bias has the extents of `num_axes` axes from `axis` on.

    >>> [w.shape for w in Bias(axis=0, num_axes=-1).weights(((2, 3, 7),))]
    [(2, 3, 7)]

    Reference: `bias_layer.cpp`.
    """

    filler: Filler = field(default_factory=Filler)
    """How the bias is initialized."""

    def weights(self, bottoms: Shapes) -> Weights:
        """`bias`, unless it is the second bottom."""
        return (Weight("bias", self.operand(bottoms), self.filler),) * (len(bottoms) == 1)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0] + self.spread((*bottoms, *weights)[1], bottoms[0])
