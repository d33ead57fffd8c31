"""BatchReduction of yjxiong's Caffe: sums or means of runs of elements along an axis, such as frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Layer, Mode, Shapes, fail
from netc.layers._axes import axis_of
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor

OPERATIONS = ("SUM", "MEAN")


@register("BatchReduction", dialect="yjxiong", field="batch_reduction_param")
@dataclass(frozen=True)
class BatchReduction(Layer):
    """Sums or averages runs of elements along `axis`: for each level l a run of l^2 elements, one after the other.

    Without levels, or with the level 1 alone, the whole axis is reduced and removed.

    Shapes: (..., sum of level^2, ...) to (..., number of levels, ...); without levels (..., e, ...) to (..., ...).

    >>> BatchReduction((1, 2)).infer(((5, 3, 4),), 1), BatchReduction(axis=1).infer(((2, 25, 101),), 1)
    (((2, 3, 4),), ((2, 101),))

    Reference: `batch_reduction_layer.cpp` of yjxiong's Caffe, also in hszhao/PSPNet; Wang et al., Temporal Segment
    Networks, 2016.
    """

    level: tuple[int, ...] = ()
    """The run of each level has the square of this number of elements."""
    operation: Literal["SUM", "MEAN"] = "SUM"
    """How a run is reduced."""
    axis: int = 0
    """The axis of the runs."""

    caffe_fields: ClassVar[CaffeFields] = {
        name: (f"batch_reduction_param.reduction_param.{name}",) for name in ("operation", "axis")
    }
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for an operation or a level that the fork does not support."""
        p = layer.message("batch_reduction_param")
        reduction = p.message("reduction_param")
        result = cls(tuple(p.get("level", ())), reduction["operation"], reduction["axis"])
        if result.operation not in OPERATIONS:
            fail(f"`BatchReduction` does not support `{result.operation}`", code="E103", field="operation")
        positive(result.level, "level")
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `reduction_param`."""
        values = super().to_caffe()
        inner = {name: values.pop(name) for name in ("operation", "axis") if name in values}
        return {**values, **({"reduction_param": inner} if inner else {})}

    @property
    def _whole(self) -> bool:
        return self.level in ((), (1,))

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 if the axis has another extent than the runs together."""
        (bottom,) = bottoms
        axis = axis_of(self.axis, bottom)
        if self._whole:
            return ((*bottom[:axis], *bottom[axis + 1 :]),)
        runs = sum(level * level for level in self.level)
        if differ(bottom[axis], runs):
            fail(f"axis {axis} has {counted(bottom[axis], 'element')}, the levels take {runs}", field="level")
        return ((*bottom[:axis], len(self.level), *bottom[axis + 1 :]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition per element."""
        return Cost(operations=product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        axis = axis_of(self.axis, tuple(x.shape))
        if self._whole:
            return self._reduced(x, axis)
        runs = torch.split(x, [level * level for level in self.level], axis)
        return torch.stack([self._reduced(run, axis) for run in runs], axis)

    def _reduced(self, x: Tensor, axis: int) -> Tensor:
        return x.mean(axis) if self.operation == "MEAN" else x.sum(axis)
