"""Softmax with cross entropy in one operator: SoftmaxWithLoss, SpatialSoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import FLOAT, OperatorLayer, axis_of, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_LABELS: frozenset[DType] = frozenset(("int32",))
SMALLEST = 1e-20
"""The smallest probability whose logarithm is taken (`kLOG_THRESHOLD`)."""


def _options(operator: Operator) -> float:
    """The argument `scale`. Raises NetcError E103 for a negative one, and for another `order` than NCHW."""
    scale = operator.real("scale", 1.0)
    if not scale >= 0:
        operator.fail(f"`scale: {scale}` is negative", "scale")
    if operator.text("order", "NCHW").upper() != "NCHW":
        operator.fail(f"`{operator.type}` supports only `order: NCHW`", "order")
    return scale


def _valued(value: Tensor, gradient_of: Tensor) -> Tensor:
    """`value` with the gradient of another tensor of its shape."""
    return gradient_of + (value - gradient_of).detach()


@operator("SoftmaxWithLoss")
@dataclass(frozen=True)
class SoftmaxWithLossOperator(OperatorLayer):
    """Softmax over all axes from `axis`, and the mean cross entropy with the labels, weighted if there are weights.

    The loss is `scale` times the sum of each row's weight times its cross entropy, divided by the sum of the weights
    or, with `average_by_batch_size`, by the number of rows; 0 if the weights sum to 0. Only the logits get a gradient,
    and only from the loss.

    Shapes: logits (a..., b...), b from `axis`; labels (a...) or (a..., 1) of type int32, or with `label_prob` the
    probabilities (a..., b...); optionally one weight per row; to (a..., b...) and ().

    Reference: `softmax_with_loss_op.cc`.
    """

    scale: float = 1.0
    """A factor of the loss."""
    label_prob: bool = False
    """Whether the labels are distributions over the classes."""
    average_by_batch_size: bool = False
    """Whether to divide by the number of rows even if there are weights."""
    axis: int = 1
    """The first axis of the classes."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    top_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a negative `scale`, and for another `order` than NCHW."""
        flags = operator.flag("label_prob"), operator.flag("average_by_batch_size")
        return cls(_options(operator), *flags, operator.integer("axis", 1))

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """float32 except for labels that are classes, int32."""
        return FLOAT, FLOAT if self.label_prob else _LABELS, FLOAT

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for labels that do not match the logits."""
        x, labels = bottoms[:2]
        axis = axis_of("SoftmaxWithLoss", self.axis, len(x))
        rows, classes = product(x[:axis]), product(x[axis:])
        inner = classes if self.label_prob else 1
        if len(labels) == axis and not self.label_prob:
            bad = differ(product(labels), rows)
        else:
            bad = differ(product(labels[:axis]), rows) or differ(product(labels[axis:]), inner)
        if bad or (self.label_prob and len(labels) < 2):
            expected = "probabilities" if self.label_prob else "one label"
            fail(f"labels {text(labels)} do not match logits {text(x)}: expected {expected} per row", field="input")
        if len(bottoms) > 2 and product(bottoms[2]) < rows:
            fail(f"{text(bottoms[2])} weights for {rows} rows", field="input")
        return x, ()

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return "float32", "float32"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """An exponential, an addition and a division per logit."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, Tensor]:
        """Raises NetcError E301 for a label outside the classes, and for probabilities that do not sum to 1."""
        x, labels = bottoms[:2]
        axis = self.axis % x.dim()
        rows, classes = product(tuple(x.shape[:axis])), product(tuple(x.shape[axis:]))
        logs = x.reshape(rows, classes).log_softmax(1)
        if self.label_prob:
            losses = self._soft_losses(logs, labels.detach().reshape(rows, classes), mode)
        else:
            mode.check_range(labels, 0, classes, "label")
            losses = -logs.gather(1, labels.reshape(rows, 1).long())[:, 0]
        probabilities = logs.detach().exp().reshape(x.shape)
        if len(bottoms) == 2:
            return probabilities, losses.sum() * self.scale / max(rows, 1)
        factors = bottoms[2].detach().flatten()[:rows]
        total = factors.sum()
        count = total.new_tensor(float(rows)) if self.average_by_batch_size else total
        loss = (losses * factors).sum() * self.scale / count.where(total != 0, 1.0)
        return probabilities, loss.where(total != 0, 0.0)

    def _soft_losses(self, logs: Tensor, labels: Tensor, mode: Mode) -> Tensor:
        if mode.check:
            mode.check(labels, labels < 0, "negative probability")
            totals = labels.sum(1)
            mode.check(totals, ~((totals - 1).abs() < 1e-5), "probabilities of a label that do not sum to 1")
        losses = -(labels * logs).sum(1)
        clipped = -(labels * logs.detach().exp().clamp(min=SMALLEST).log()).sum(1)
        return _valued(clipped, losses)


@operator("SpatialSoftmaxWithLoss")
@dataclass(frozen=True)
class SpatialSoftmaxWithLoss(OperatorLayer):
    """Softmax over the channels, and the mean cross entropy with each pixel's label, weighted if there are weights.

    Pixels with the label -1 count neither in the sum nor in the sum of the weights, by which it is divided. As in
    Caffe2's version for the CPU `scale` is a factor of the gradient, not of the loss. Only the logits get a gradient,
    and only from the loss.

    Shapes: logits (n, c, h, w), labels (n, h, w) of type int32, optionally one weight per label, to (n, c, h, w), ().

    Reference: `spatial_softmax_with_loss_op.cc`.
    """

    scale: float = 1.0
    """A factor of the gradient."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    top_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, _LABELS, FLOAT)
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)
    indices: ClassVar[tuple[int, ...]] = (1,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a negative `scale`, and for another `order` than NCHW."""
        return cls(_options(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label per pixel."""
        x, labels = bottoms[:2]
        check_axes("SpatialSoftmaxWithLoss", x, 4)
        if differ(labels, (x[0], *x[2:])):
            fail(f"labels have shape {text(labels)}, expected {text((x[0], *x[2:]))}", field="input")
        if len(bottoms) > 2 and differ(product(bottoms[2]), product(labels)):
            fail(f"weights have shape {text(bottoms[2])}, expected one per label of {text(labels)}", field="input")
        return x, ()

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return "float32", "float32"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """An exponential, an addition and a division per logit."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, Tensor]:
        """Raises NetcError E301 for a label that is neither a class nor -1."""
        x, labels = bottoms[:2]
        mode.check_range(labels, 0, x.shape[1], "label", ignore=-1)
        logs = x.log_softmax(1)
        counted = labels != -1
        factors = bottoms[2].detach().reshape(labels.shape) * counted if len(bottoms) > 2 else counted.to(x.dtype)
        chosen = logs.gather(1, labels.clamp(min=0).long()[:, None])[:, 0]
        clipped = chosen.detach().exp().clamp(min=SMALLEST).log()
        total = factors.sum()
        divisor = total.where(total != 0, 1.0)
        value, loss = (-(part * factors).sum() / divisor for part in (clipped, chosen))
        return logs.detach().exp(), _valued(value, loss * self.scale).where(total != 0, 0.0)
