"""Cross entropies: LabelCrossEntropy, CrossEntropy, SigmoidCrossEntropyWithLogits, AveragedLoss, MakeTwoClass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import FLOAT, OperatorLayer, check_shape
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-20
"""The smallest probability whose logarithm is taken (`kLOG_THRESHOLD`)."""


def _rows(shape: Shape) -> tuple[int, int]:
    """The number of rows and columns of a matrix; a vector is one row. Raises NetcError E102 for a scalar."""
    if not shape:
        fail("expected an input with at least 1 axis, got a scalar", field="input")
    return (shape[0], product(shape[1:])) if len(shape) > 1 else (1, shape[0])


def _clipped_log(p: Tensor) -> Tensor:
    """log(max(p, 1e-20)), whose gradient is 1 / max(p, 1e-20) below the threshold too."""
    clipped = p.detach().clamp(min=SMALLEST)
    return clipped.log() + (p - p.detach()) / clipped


@operator("LabelCrossEntropy")
@dataclass(frozen=True)
class LabelCrossEntropy(OperatorLayer):
    """-log of the probability of each row's label; probabilities below 1e-20 count as 1e-20.

    Shapes: probabilities (n, classes...) or (classes), labels (n) or (n, 1) of type int32, to (n).

    Reference: `cross_entropy_op.cc`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, frozenset(("int32",)))
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label per row."""
        n, _ = _rows(bottoms[0])
        labels = bottoms[1]
        if len(labels) not in (1, 2) or differ(labels[0], n) or (len(labels) == 2 and differ(labels[1], 1)):
            fail(f"labels have shape {text(labels)}, expected {text((n,))} or {text((n, 1))}", field="input")
        return ((n,),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a label outside the classes."""
        p, labels = bottoms
        n, classes = _rows(tuple(p.shape))
        mode.check_range(labels, 0, classes, "label")
        return -_clipped_log(p.reshape(n, classes).gather(1, labels.reshape(n, 1).long())[:, 0])


@operator("CrossEntropy")
@dataclass(frozen=True)
class CrossEntropy(OperatorLayer):
    """The sum over the classes of -label log(probability), by row; probabilities below 1e-20 count as 1e-20.

    Shapes: probabilities (n, classes...), or (classes) for one row, labels (n, classes) to (n); one class: labels (n).

    Reference: `cross_entropy_op.cc`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label per probability."""
        n, classes = _rows(bottoms[0])
        if differ(bottoms[1], (n, classes)) and (differ(bottoms[1], (n,)) or differ(classes, 1)):
            fail(f"labels have shape {text(bottoms[1])}, expected {text((n, classes))}", field="input")
        return ((n,),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a label outside 0 to 1."""
        shape = _rows(tuple(bottoms[0].shape))
        p, labels = (bottom.reshape(shape) for bottom in bottoms)
        if mode.check:
            mode.check(labels, ~((labels >= 0) & (labels <= 1)), "label outside 0 to 1")
        return -(labels.detach() * _clipped_log(p)).sum(1)


@operator("SigmoidCrossEntropyWithLogits", "WeightedSigmoidCrossEntropyWithLogits")
@dataclass(frozen=True)
class SigmoidCrossEntropyWithLogits(OperatorLayer):
    """The cross entropy of sigmoids with targets, averaged over the last axis; Weighted...: weighted by element.

    With x a logit and t its target: -t log(s(x)) - (1 - t) log(1 - s(x)). With `log_D_trick` (1 - 2t) log(s(x)), with
    `unjoined_lr_loss` -t x + (1 - t) log(1 + exp(x)).

    Shapes: logits, targets (a..., n), for Weighted... weights (a..., n), to (a...).

    Reference: `cross_entropy_op.cc`.
    """

    log_d_trick: bool = False
    """Whether to maximize the log of the other class instead of minimizing that of the class."""
    unjoined_lr_loss: bool = False
    """Whether positive examples also occur as negative ones."""
    weighted: bool = False
    """Whether there is a weight for each element."""

    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 for both variants."""
        if operator.type.startswith("Weighted"):
            return cls(weighted=True)
        trick, unjoined = operator.flag("log_D_trick"), operator.flag("unjoined_lr_loss")
        if trick and unjoined:
            operator.fail("`log_D_trick` and `unjoined_lr_loss` exclude each other", "unjoined_lr_loss", code="E101")
        return cls(trick, unjoined)

    @property
    def bottom_count(self) -> Count:  # type: ignore[override]
        """Logits and targets, and weights."""
        return Count(3) if self.weighted else Count(2)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs of different shapes."""
        for index, shape in enumerate(bottoms[1:], 1):
            check_shape("SigmoidCrossEntropyWithLogits", shape, bottoms[0], index)
        return (bottoms[0][:-1],)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x, t = bottoms[0], bottoms[1].detach()
        if self.log_d_trick:
            losses = (1 - 2 * t) * F.logsigmoid(x)
        elif self.unjoined_lr_loss:
            losses = -t * x - (1 - t) * F.logsigmoid(-x)
        else:
            losses = F.binary_cross_entropy_with_logits(x, t, reduction="none")
        if self.weighted:
            losses = losses * bottoms[2].detach()
        return losses.mean(-1) if x.dim() else losses


@operator("AveragedLoss")
@dataclass(frozen=True)
class AveragedLoss(OperatorLayer):
    """The mean of all elements, 0 if there are none.

    Shapes: any to ().

    Reference: `loss_op.h`, `reduction_ops.h`.
    """

    is_loss: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape]:
        """A scalar."""
        return ((),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].mean() if bottoms[0].numel() else bottoms[0].sum()


@operator("MakeTwoClass")
@dataclass(frozen=True)
class MakeTwoClass(OperatorLayer):
    """For each probability p the two probabilities 1 - p and p.

    Shapes: any to the same with a further axis of extent 2.

    Reference: `cross_entropy_op.cc`.
    """

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """A further axis."""
        return ((*bottoms[0], 2),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return ("float32",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return torch.stack([1 - bottoms[0], bottoms[0]], -1)
