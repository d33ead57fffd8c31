"""Cross entropy losses: SoftmaxWithLoss, InfogainLoss, SigmoidCrossEntropyLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Constant, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._labels import (
    LOG_THRESHOLD,
    LOSS_FIELDS,
    ClassAxis,
    Normalization,
    around,
    bounded,
    check_axis,
    check_items,
    check_label_count,
    check_weights,
    class_weights,
    indices,
    loss_message,
    normalization,
    normalizer,
    refuse_weights,
)
from netc.layers._registry import register
from netc.layers.activations import Sigmoid
from netc.layers.softmax import Softmax

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = -math.log(1.17549435082229e-38)
"""87.3: the largest loss of one label, because Caffe clamps probabilities to the least normal float32 (FLT_MIN)."""

NO_LABEL = -(2**31)
"""`ignore_index` for torch if no label is ignored: neither a class nor a label in any file."""


@register("SoftmaxWithLoss", v1="SOFTMAX_LOSS")
@dataclass(frozen=True)
class SoftmaxWithLoss(ClassAxis, Layer):
    """Negative logarithm of the softmax probability of each label, summed and normalized.

    With `label_smoothing` e and K classes the target is 1 - e + e / K for the label and e / K for every other class
    (Szegedy et al. 2016). The optional second top holds the probabilities; no gradient flows through it.

    Shapes: scores (n, c, ...) and one label for each position outside `axis` to a scalar, and the scores' shape.

    >>> SoftmaxWithLoss().infer(((3, 5, 4, 2), (3, 1, 4, 2)), 2)
    ((), (3, 5, 4, 2))

    Reference: `softmax_loss_layer.cpp`.
    """

    ignore_label: int | None = None
    """Positions with this label are ignored, whether or not it is a class."""
    normalization: Normalization = "VALID"
    """The divisor of the summed loss."""
    axis: int = 1
    """The class axis (`softmax_param`)."""
    pre_fixed_normalizer: float = 1.0
    """The divisor for `PRE_FIXED`, at least 1 (R-FCN's and Intel's Caffe)."""
    class_weights: tuple[float, ...] = ()
    """Factor of the loss of each class (SegNet's Caffe); empty means 1 for all. Does not affect the normalization."""
    label_smoothing: float = 0.0
    """Part of each target distributed evenly over all classes, from 0 to below 1 (a field of a fork)."""

    caffe_fields: ClassVar[CaffeFields] = {**LOSS_FIELDS, "axis": ("softmax_param.axis",)}
    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `loss_param` and `softmax_param`."""
        loss = layer.message("loss_param")
        axis, fixed = layer.message("softmax_param")["axis"], loss.get("pre_fixed_normalizer", 1.0)
        ignore, weights = loss.get("ignore_label", None), class_weights(loss)
        return cls(ignore, normalization(loss, "VALID"), axis, fixed, weights, loss.get("label_smoothing", 0.0))

    def to_caffe(self) -> dict[str, Any]:
        """`loss_param` and `softmax_param`, by name."""
        softmax = {"softmax_param": {"axis": self.axis}} if self.axis != 1 else {}
        weights, fixed = (self.class_weights, self.label_smoothing), self.pre_fixed_normalizer
        return {**loss_message(self.ignore_label, self.normalization, "VALID", fixed, *weights), **softmax}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 for class weights, E102 if scores, labels and axis do not match."""
        check_items(bottoms)
        axis = check_axis(bottoms[0], self.axis, "softmax_param.axis")
        check_label_count(bottoms[0], axis, bottoms[1])
        check_weights(self.class_weights, self.label_smoothing, bottoms[0][axis])
        return ((), bottoms[0])

    def score_layer(self) -> Layer:
        """The softmax that the loss computes."""
        return Softmax(axis=self.axis)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, subtraction, exponential and addition per score, and one operation per label."""
        return Cost(operations=4 * product(bottoms[0]) + product(bottoms[1]))

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The class weights, moved to the net's device."""
        return (Constant("class_weights", values=self.class_weights),) if self.class_weights else ()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradient is probability - 1 at the label and the probability elsewhere, even if the loss is clamped."""
        scores, axis = bottoms[0], self.axis % bottoms[0].dim()
        outer, _, inner = around(scores, axis)
        each, valid = self.each_loss(bottoms, mode)
        loss = each.sum() / normalizer(self.normalization, outer, inner, valid, self.pre_fixed_normalizer)
        return (loss, scores.detach().softmax(axis)) if mode.tops > 1 else (loss,)

    def each_loss(self, bottoms: Sequence[Tensor], mode: Mode) -> tuple[Tensor, Tensor | None]:
        """The loss (outer, inner) of each position outside the class axis, and which count; None if all do."""
        import torch.nn.functional as F

        scores = bottoms[0]
        outer, classes, inner = around(scores, self.axis % scores.dim())
        labels = indices(bottoms[1], classes, mode, self.ignore_label).reshape(outer, inner)
        ignored = NO_LABEL if self.ignore_label is None else self.ignore_label
        each = F.cross_entropy(
            scores.reshape(outer, classes, inner),
            labels,
            ignore_index=ignored,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        valid = None if self.ignore_label is None else labels != self.ignore_label
        each = bounded(each, high=LARGEST)
        if self.class_weights:
            each = each * self._weights(scores, mode)[labels if valid is None else labels * valid]
        return each, valid

    def _weights(self, scores: Tensor, mode: Mode) -> Tensor:
        held = mode.constants.get("class_weights")
        return scores.new_tensor(self.class_weights) if held is None else held.to(scores)


@register("InfogainLoss", v1="INFOGAIN_LOSS")
@dataclass(frozen=True)
class InfogainLoss(ClassAxis, Layer):
    """Like SoftmaxWithLoss, with each log probability weighted by row `label` of a matrix H.

    loss = - sum over labels and classes k of H[label, k] log(max(probability of k, 1e-20)), normalized. With the
    identity as H it equals SoftmaxWithLoss. H is the third bottom or, without one, the BlobProto in `source`,
    registered as the constant `infogain`.

    Shapes: scores (n, c, ...), one label for each position outside `axis`, c x c elements to a scalar, and the shape of
    the scores.

    >>> InfogainLoss(axis=2).infer(((4, 3, 5), (4, 3), (5, 5)), 1)
    ((), (4, 3, 5))

    Reference: `infogain_loss_layer.cpp`.
    """

    source: str | None = None
    """Path of a binary BlobProto that holds H."""
    axis: int = 1
    """The class axis."""
    ignore_label: int | None = None
    """Positions with this label are ignored, whether or not it is a class."""
    normalization: Normalization = "VALID"
    """The divisor of the summed loss."""
    pre_fixed_normalizer: float = 1.0
    """The divisor for `PRE_FIXED`, at least 1 (R-FCN's and Intel's Caffe)."""

    caffe_fields: ClassVar[CaffeFields] = {
        **LOSS_FIELDS,
        "normalization": ("loss_param.normalization",),
        "source": ("infogain_loss_param.source",),
        "axis": ("infogain_loss_param.axis",),
    }
    bottom_count: ClassVar[Count] = Count(2, 3)
    top_count: ClassVar[Count] = Count(1, 2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `infogain_loss_param` and `loss_param`. Raises NetcError E101 for the older `normalize`."""
        own, loss = layer.message("infogain_loss_param"), layer.message("loss_param")
        refuse_weights(loss, "InfogainLoss")
        if "normalize" in loss:
            fail(
                "`InfogainLoss` does not take `normalize`",
                code="E101",
                field="loss_param.normalize",
                help="use `normalization: VALID` for true, `normalization: BATCH_SIZE` for false",
            )
        ignore, fixed = loss.get("ignore_label", None), loss.get("pre_fixed_normalizer", 1.0)
        return cls(own.get("source", None), own["axis"], ignore, normalization(loss, "VALID"), fixed)

    def to_caffe(self) -> dict[str, Any]:
        """`infogain_loss_param` and `loss_param`, by name."""
        own: dict[str, object] = {} if self.source is None else {"source": self.source}
        if self.axis != 1:
            own["axis"] = self.axis
        loss = loss_message(self.ignore_label, self.normalization, "VALID", self.pre_fixed_normalizer)
        return {**loss, "infogain_loss_param": own} if own else {**loss}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 without a matrix, E102 if the shapes do not match."""
        if len(bottoms) < 3 and self.source is None:
            fail(
                "the infogain matrix is missing", code="E101", help="set `source`, or pass the matrix as a third bottom"
            )
        check_items(bottoms)
        axis = check_axis(bottoms[0], self.axis, "infogain_loss_param.axis")
        check_label_count(bottoms[0], axis, bottoms[1])
        if len(bottoms) == 3:
            _check_matrix(product(bottoms[2]), text(bottoms[2]), bottoms[0][axis])
        return ((), bottoms[0])

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The matrix in `source`, unless it is the third bottom (LayerSetUp)."""
        return (Constant("infogain", self.source),) if self.source and bottoms < 3 else ()

    def score_layer(self) -> Layer:
        """The softmax that the loss computes."""
        return Softmax(axis=self.axis)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """The softmax, its logarithm, and one multiply-add per score with the matrix."""
        return Cost(macs=product(bottoms[0]), operations=5 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradient is the probability times the sum of H's row, minus the row, even below the bound of 1e-20."""
        import torch
        import torch.nn.functional as F

        scores, axis = bottoms[0], self.axis % bottoms[0].dim()
        outer, classes, inner = around(scores, axis)
        matrix = self._matrix(bottoms, classes, mode)
        labels = indices(bottoms[1], classes, mode, self.ignore_label).reshape(outer, inner)
        valid = None if self.ignore_label is None else labels != self.ignore_label
        rows = matrix[labels if valid is None else torch.where(valid, labels, 0)].movedim(2, 1)
        logs = bounded(F.log_softmax(scores.reshape(outer, classes, inner), 1), low=math.log(LOG_THRESHOLD))
        each = -(rows * logs).sum(1)
        if valid is not None:
            each = torch.where(valid, each, 0)
        loss = each.sum() / normalizer(self.normalization, outer, inner, valid, self.pre_fixed_normalizer)
        return (loss, scores.detach().softmax(axis)) if mode.tops > 1 else (loss,)

    def _matrix(self, bottoms: Sequence[Tensor], classes: int, mode: Mode) -> Tensor:
        if len(bottoms) > 2:
            return bottoms[2].detach().reshape(classes, classes)
        if "infogain" not in mode.constants:
            fail(f"the infogain matrix `{self.source}` was not read", code="E206", field="infogain_loss_param.source")
        matrix = mode.constants["infogain"]
        _check_matrix(matrix.numel(), text(tuple(matrix.shape)), classes)
        return matrix.to(bottoms[0]).reshape(classes, classes)


@register("SigmoidCrossEntropyLoss", v1="SIGMOID_CROSS_ENTROPY_LOSS")
@dataclass(frozen=True)
class SigmoidCrossEntropyLoss(Layer):
    """Cross entropy between the sigmoid of each score and its target, a probability, summed and normalized.

    Shapes: scores (n, ...) and as many targets to a scalar.

    >>> SigmoidCrossEntropyLoss().infer(((4, 3, 2), (4, 6)), 1)
    ((),)

    Reference: `sigmoid_cross_entropy_loss_layer.cpp`.
    """

    ignore_label: int | None = None
    """Targets equal to this number after truncation towards 0 are ignored."""
    normalization: Normalization = "BATCH_SIZE"
    """The divisor of the summed loss; unlike in other losses, by default the batch size."""
    pre_fixed_normalizer: float = 1.0
    """The divisor for `PRE_FIXED`, at least 1 (R-FCN's and Intel's Caffe)."""

    caffe_fields: ClassVar[CaffeFields] = LOSS_FIELDS
    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def label_shape(self, scores: Shape) -> Shape | None:
        """One target per element."""
        return scores

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `loss_param`."""
        loss = layer.message("loss_param")
        refuse_weights(loss, "SigmoidCrossEntropyLoss")
        fixed = loss.get("pre_fixed_normalizer", 1.0)
        return cls(loss.get("ignore_label", None), normalization(loss, "BATCH_SIZE"), fixed)

    def to_caffe(self) -> dict[str, Any]:
        """`loss_param`, by name."""
        return {**loss_message(self.ignore_label, self.normalization, "BATCH_SIZE", self.pre_fixed_normalizer)}

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if scores and targets do not match."""
        check_items(bottoms)
        scores, targets = bottoms
        if differ(product(scores), product(targets)):
            fail(
                f"{counted(product(scores), 'score')} {text(scores)}, but "
                f"{counted(product(targets), 'target')} {text(targets)}"
            )
        return ((),)

    def score_layer(self) -> Layer:
        """The sigmoid that the loss computes."""
        return Sigmoid()

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One exponential, logarithm, multiplication and addition per score."""
        return Cost(operations=4 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed from the score itself, not from a sigmoid that may round to 0 or 1."""
        import torch
        import torch.nn.functional as F

        scores = bottoms[0]
        targets = bottoms[1].detach().reshape(scores.shape)
        outer, inner = scores.shape[0], math.prod(scores.shape[1:])
        if self.ignore_label is None:
            loss = F.binary_cross_entropy_with_logits(scores, targets, reduction="sum")
            return loss / normalizer(self.normalization, outer, inner, None, self.pre_fixed_normalizer)
        valid = targets.trunc() != self.ignore_label
        each = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        divisor = normalizer(self.normalization, outer, inner, valid, self.pre_fixed_normalizer)
        return torch.where(valid, each, 0).sum() / divisor


def _check_matrix(count: int, shown: str, classes: int) -> None:
    if differ(count, classes * classes):
        fail(f"expected an infogain matrix of {classes}x{classes} for {counted(classes, 'class')}, got {shown}")
