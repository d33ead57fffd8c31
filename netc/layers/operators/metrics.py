"""Measures of predictions: Accuracy, MultiClassAccuracy, Perplexity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape
from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes
from netc.ir.traits import Role
from netc.layers._operator_layer import FLOAT, OperatorLayer, check_axes, check_shape
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_LABELS: frozenset[DType] = frozenset(("int32",))


def _check(name: str, bottoms: Shapes) -> None:
    """Raise NetcError E102 unless the inputs are a matrix of scores and a label for each row."""
    check_axes(name, bottoms[0], 2)
    check_shape(name, bottoms[1], bottoms[0][:1], 1)


@operator("Accuracy")
@dataclass(frozen=True)
class AccuracyOperator(OperatorLayer):
    """The share of rows whose label is among the `top_k` classes with the highest scores; the lower class wins ties.

    Shapes: scores (n, classes), labels (n) of type int32, to ().

    Reference: `accuracy_op.cc`.
    """

    top_k: int = 1
    """The number of classes that may be the label."""

    bottom_count: ClassVar[Count] = Count(2)
    role: ClassVar[Role] = "metric"
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, _LABELS)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape]:
        """Raises NetcError E102 unless there is one label per row of scores."""
        _check("Accuracy", bottoms)
        return ((),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a label outside the classes."""
        import torch

        scores, labels = bottoms[0].detach(), bottoms[1].long()[:, None]
        mode.check_range(labels, 0, scores.shape[1], "label")
        own = scores.gather(1, labels)
        classes = torch.arange(scores.shape[1], device=scores.device)
        before = (scores > own) | ((scores == own) & (classes < labels))
        return (before.sum(1) < self.top_k).to(scores.dtype).mean()


@operator("MultiClassAccuracy")
@dataclass(frozen=True)
class MultiClassAccuracy(OperatorLayer):
    """For each class the share of its rows in which it has the highest score, and the number of its rows.

    The share is 0 for a class without rows; the lower class wins ties.

    Shapes: scores (n, classes), labels (n) of type int32, to (classes), (classes).

    Reference: `multi_class_accuracy_op.cc`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(2)
    role: ClassVar[Role] = "metric"
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, _LABELS)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label per row of scores."""
        _check("MultiClassAccuracy", bottoms)
        return (bottoms[0][1:],) * 2

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32 and int32."""
        self.check_dtypes(bottoms)
        return "float32", "int32"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, Tensor]:
        """Raises NetcError E301 for a label outside the classes."""
        import torch

        scores, labels = bottoms[0].detach(), bottoms[1].long()
        mode.check_range(labels, 0, scores.shape[1], "label")
        lowest = torch.finfo(scores.dtype).min
        best = scores.nan_to_num(lowest, neginf=lowest).argmax(1)
        amounts = labels.bincount(minlength=scores.shape[1])
        right = labels[best == labels].bincount(minlength=scores.shape[1])
        return right.to(scores.dtype) / amounts.clamp(min=1), amounts.int()


@operator("Perplexity")
@dataclass(frozen=True)
class Perplexity(OperatorLayer):
    """The product of p^(-1/n) over n probabilities p.

    Shapes: (n) to ().

    Reference: `perplexity_op.cc`.
    """

    role: ClassVar[Role] = "metric"
    no_gradient: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape]:
        """Raises NetcError E102 unless the input is a vector."""
        check_axes("Perplexity", bottoms[0], 1)
        return ((),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        p = bottoms[0].detach()
        return p.pow(-1 / len(p)).prod() if len(p) else p.new_ones(())
