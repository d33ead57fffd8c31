"""Accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.diagnostics import counted
from netc.ir.dims import product
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees
from netc.layers._labels import ClassAxis, check_axis, check_label_count, indices
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Accuracy", field="accuracy_param", v1="ACCURACY")
@dataclass(frozen=True)
class Accuracy(ClassAxis, Layer):
    """The fraction of labels whose class is among the `top_k` highest scores; the second top holds it for each class.

    A class with the same score as the label's is ranked above it: with all scores equal and `top_k` below the
    number of classes, the accuracy is 0. A class without labels has accuracy 0.

    Shapes: scores (n, c, ...) and one label for each position outside `axis` to a scalar, and (c).

    >>> Accuracy(top_k=2).infer(((3, 5, 4, 2), (3, 1, 4, 2)), 2)
    ((), (5,))

    Reference: `accuracy_layer.cpp`.
    """

    top_k: int = 1
    """A label counts as correct if its class is among this many highest scores."""
    axis: int = 1
    """The class axis."""
    ignore_label: int | None = None
    """Positions with this label are ignored."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (1,)
    role: ClassVar[Role] = "metric"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if scores, labels, axis and `top_k` do not match."""
        axis = check_axis(bottoms[0], self.axis, "axis")
        check_label_count(bottoms[0], axis, bottoms[1])
        classes = bottoms[0][axis]
        if self.top_k > classes:
            fail(f"`top_k` {self.top_k} exceeds {counted(classes, 'class')}", field="top_k")
        return ((), (classes,))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison and one addition per score."""
        return Cost(operations=2 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Counts the classes whose score is at least that of the label's class, without sorting."""
        import torch

        scores, axis = bottoms[0].detach(), self.axis % bottoms[0].dim()
        places = [1 if i == axis else extent for i, extent in enumerate(scores.shape)]
        labels = indices(bottoms[1], scores.shape[axis], mode, self.ignore_label).reshape(places)
        valid = torch.ones_like(labels, dtype=torch.bool)
        if self.ignore_label is not None:
            valid = labels != self.ignore_label
            labels = torch.where(valid, labels, 0)
        better = (scores >= scores.gather(axis, labels)).sum(axis, keepdim=True) - 1
        hits = ((better < self.top_k) & valid).to(scores.dtype)
        counted = valid.to(scores.dtype)
        share = hits.sum() / counted.sum().clamp(min=1)
        if mode.tops < 2:
            return (share,)
        none, flat = scores.new_zeros(scores.shape[axis]), labels.flatten()
        of_class = none.scatter_add(0, flat, counted.flatten()).clamp(min=1)
        return share, none.scatter_add(0, flat, hits.flatten()) / of_class
