"""Connectionist temporal classification (CTC): WarpCTCLoss, CtcLoss and CTCLoss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register
from netc.layers.sequence._labels import lengths_by_indicators, packed, rounded, up_to_end

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TemporalLoss(Layer):
    """Base of the CTC losses: scores (t, n, c), to which softmax is applied.

    A sequence whose labels need more steps than it has, counting a blank between equal labels, costs 0.
    """

    is_loss: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the other bottoms match the scores."""
        scores = bottoms[0]
        if len(scores) not in (3, 4) or differ(product(scores[3:]), 1):
            fail(f"expected scores (time steps, sequences, classes), got {text(scores)}", field="bottom")
        self._check(*bottoms)
        return ((),)

    def _check(self, scores: Shape, *others: Shape) -> None:
        _check_rows(scores, others[0])

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Five operations per score for the softmax, and ten for each step and label."""
        labels = product(bottoms[-1][1:])
        return Cost(operations=5 * product(bottoms[0]) + 20 * product(bottoms[0][:2]) * labels)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The CTC loss (torch's) of each sequence; the mean with the gradient of the sum."""
        import torch.nn.functional as F

        from netc.functions.summed_gradient import SummedGradient

        scores = bottoms[0].flatten(2)
        classes = scores.shape[2]
        targets, steps, lengths = self._targets(scores, [bottom.detach() for bottom in bottoms[1:]])
        mode.check_range(targets, 0, classes, "label")
        costs = F.ctc_loss(
            scores.log_softmax(2), targets, steps, lengths, self._blank(classes), "none", zero_infinity=True
        )
        loss: Tensor = SummedGradient.apply(costs)  # type: ignore[no-untyped-call]
        return loss

    def _targets(self, scores: Tensor, others: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return labels (n, length), the number of steps of each sequence, and that of its labels."""
        raise NotImplementedError

    def _blank(self, classes: int) -> int:
        """Return the class of the blank."""
        raise NotImplementedError


@register("WarpCTCLoss", dialect="caffe_ocr", field="ctc_loss_param")
@dataclass(frozen=True)
class WarpCTCLoss(TemporalLoss):
    """CTC loss of sequences with one row of labels each; blanks among the labels are skipped.

    The top is the mean over the sequences, the gradient that of their sum, as in caffe_ocr.

    Shapes: scores (t, n, c) and labels (n, length) to a scalar; or with the layouts of `WarpCTCLossByIndicators` and
    `WarpCTCLossByLengths`, which three and four bottoms select.

    >>> WarpCTCLoss().infer(((20, 4, 37), (4, 10)), 1)
    ((),)

    Reference: `warp_ctc_loss_layer.cpp` of caffe_ocr; Graves et al., Connectionist Temporal Classification, 2006. The
    gradient is multiplied by the weight of the loss, which caffe_ocr ignores.
    """

    blank_index: int = 0
    """The class of the blank; negative ones are not allowed."""
    ctc_merge_repeated: bool = True
    """Not read by this layer."""

    bottom_count: ClassVar[Count] = Count(2, 4)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Selects the layout by the number of bottoms. Raises NetcError E103 for a negative `blank_index`."""
        own: Any = _WARP.get(len(layer.get("bottom", ())), cls) if cls is WarpCTCLoss else cls
        if own is not cls:
            found: Self = own.from_caffe(layer)
            return found
        result = super().from_caffe(layer)
        if result.blank_index < 0:
            fail(f"`blank_index` is {result.blank_index}: it must be at least 0", code="E103", field="blank_index")
        return result

    def _blank(self, classes: int) -> int:
        return self.blank_index

    def _targets(self, scores: Tensor, others: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        labels = others[0].flatten(1).long()
        targets, lengths = packed(labels, labels != self.blank_index)
        return targets, _all_steps(scores), lengths


@dataclass(frozen=True)
class WarpCTCLossByIndicators(WarpCTCLoss):
    """CTC loss of sequences that end where an indicator is 0, with labels in columns that end at a negative one.

    Labels count from 1 if the blank is class 0.

    Shapes: scores (t, n, c), indicators (t, n) and labels (length, n) to a scalar.

    >>> WarpCTCLossByIndicators().infer(((20, 4, 37), (20, 4), (20, 4)), 1)
    ((),)

    Reference: `warp_ctc_loss_layer.cpp` of caffe_ocr, ExtractInputData.
    """

    bottom_count: ClassVar[Count] = Count(2, 4)
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)
    indices: ClassVar[tuple[int, ...]] = (1, 2)

    def _check(self, scores: Shape, *others: Shape) -> None:
        _check_columns(scores, *others)

    def _targets(self, scores: Tensor, others: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        labels = others[1].reshape(len(others[1]), -1).t()
        kept = up_to_end(labels)
        targets = rounded(labels) + (self.blank_index == 0)
        return targets.where(kept, 0), lengths_by_indicators(others[0].flatten(1)), kept.sum(1)


@dataclass(frozen=True)
class WarpCTCLossByLengths(WarpCTCLoss):
    """CTC loss of sequences with lengths in bottoms of their own, and labels in columns.

    Shapes: scores (t, n, c), lengths of the scores (n), lengths of the labels (n) and labels (length, n) to a scalar.

    >>> WarpCTCLossByLengths().infer(((20, 4, 37), (4,), (4,), (10, 4)), 1)
    ((),)

    Reference: `warp_ctc_loss_layer.cpp` of caffe_ocr.
    """

    bottom_count: ClassVar[Count] = Count(2, 4)
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2, 3)
    indices: ClassVar[tuple[int, ...]] = (1, 2, 3)

    def _check(self, scores: Shape, *others: Shape) -> None:
        for lengths in others[:2]:
            if differ(product(lengths), scores[1]):
                fail(f"lengths {text(lengths)} for {counted(scores[1], 'sequence')}", field="bottom")
        _check_columns(scores, others[2])

    def _targets(self, scores: Tensor, others: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        steps, lengths, labels = (other.long() for other in others)
        return labels.reshape(len(labels), -1).t(), steps.flatten(), lengths.flatten()


_WARP = {3: WarpCTCLossByIndicators, 4: WarpCTCLossByLengths}


@register("CtcLoss", dialect="jolibrain", field="ctc_loss_param")
@dataclass(frozen=True)
class CtcLoss(TemporalLoss):
    """CTC loss of sequences of `time_step` steps with one row of labels each; blanks among the labels are skipped.

    The top is the mean over the sequences, the gradient that of their sum, as in jolibrain's Caffe.

    Shapes: scores (t, n, c) and labels (n, length) to a scalar.

    >>> CtcLoss(alphabet_size=37, time_step=20).infer(((20, 4, 37), (4, 10)), 1)
    ((),)

    Reference: `ctc_loss_layer.cpp` of jolibrain's Caffe.
    """

    alphabet_size: int = 0
    """Number of classes."""
    time_step: int = 0
    """Number of steps of each sequence."""
    blank_label: int = 0
    """The class of the blank."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless both sizes are positive and the blank is a class."""
        result = super().from_caffe(layer)
        for name in ("alphabet_size", "time_step"):
            if getattr(result, name) <= 0:
                fail(f"`{name}` must be positive", code="E103", field=name)
        if not 0 <= result.blank_label < result.alphabet_size:
            found = f"`blank_label` {result.blank_label} is outside the {counted(result.alphabet_size, 'class')}"
            fail(found, code="E103", field="blank_label")
        return result

    def _check(self, scores: Shape, *others: Shape) -> None:
        if differ(scores[2], self.alphabet_size):
            fail(f"`alphabet_size` is {self.alphabet_size} for {counted(scores[2], 'class')}", field="alphabet_size")
        if scores[0] < self.time_step:
            fail(f"`time_step` {self.time_step} exceeds {counted(scores[0], 'time step')}", field="time_step")
        _check_rows(scores, others[0])

    def _blank(self, classes: int) -> int:
        return self.blank_label

    def _targets(self, scores: Tensor, others: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        labels = others[0].flatten(1).long()
        targets, lengths = packed(labels, labels != self.blank_label)
        return targets, _all_steps(scores, self.time_step), lengths


@register("CTCLoss", dialect="openvino", field="ctc_loss_param")
@dataclass(frozen=True)
class CTCLoss(TemporalLoss):
    """CTC loss of sequences that end where an indicator is 0, with labels in columns that end at a negative one.

    The top is the mean over the sequences, the gradient that of their sum, as in OpenVINO's Caffe. Only
    `output_delay: 0` and `ctc_merge_repeated: true` are supported.

    Shapes: scores (t, n, c), indicators (t, n) and labels (t, n) to a scalar.

    >>> CTCLoss().infer(((20, 4, 37), (20, 4), (20, 4)), 1)
    ((),)

    Reference: `ctc_loss_layer.cpp` of OpenVINO's Caffe, after C. Wick. Labels from the last class on end a sequence.
    Sequences that are too short for their labels end the program there; here they cost 0.
    """

    blank_index: int = -1
    """The class of the blank; a negative one is the last class."""
    preprocess_collapse_repeated: bool = False
    """Whether equal labels in a row count once."""
    loss_calculation_t: int = 0
    """The step at which the loss is computed; it is the same at each."""

    caffe_fields: ClassVar[CaffeFields] = {}
    bottom_count: ClassVar[Count] = Count(3)
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)
    indices: ClassVar[tuple[int, ...]] = (1, 2)

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for what is not supported."""
        p = layer.message("ctc_loss_param")
        for name, supported in (("output_delay", 0), ("ctc_merge_repeated", True)):
            if p[name] != supported:
                fail(f"`{name}` is supported as {str(supported).lower()} only", code="E101", field=name)
        return super().from_caffe(layer)

    def _check(self, scores: Shape, *others: Shape) -> None:
        _check_columns(scores, *others)

    def _blank(self, classes: int) -> int:
        return classes - 1 if self.blank_index < 0 else self.blank_index

    def _targets(self, scores: Tensor, others: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        labels = others[1].reshape(len(others[1]), -1).t()
        whole, last = rounded(labels), scores.shape[2] - 1
        kept = up_to_end(labels) & (whole < last)
        if self.preprocess_collapse_repeated:
            kept[:, 1:] &= labels[:, 1:] != labels[:, :-1]
        targets, lengths = packed(whole, kept)
        return targets, lengths_by_indicators(others[0].flatten(1)), lengths


def _check_rows(scores: Shape, labels: Shape) -> None:
    if len(labels) < 2 or differ(labels[0], scores[1]):
        fail(f"expected labels ({scores[1]}, length), one row for each sequence, got {text(labels)}", field="bottom")


def _check_columns(scores: Shape, *others: Shape) -> None:
    for index, shape in enumerate(others):
        indicators = index < len(others) - 1
        if len(shape) < 2 or differ(shape[1], scores[1]) or (indicators and differ(shape[0], scores[0])):
            steps = scores[0] if indicators else "length"
            fail(f"expected one column for each sequence, ({steps}, {scores[1]}), got {text(shape)}", field="bottom")


def _all_steps(scores: Tensor, steps: int | None = None) -> Tensor:
    """Return the same number of steps for each sequence."""
    import torch

    count = scores.shape[0] if steps is None else steps
    return torch.full((scores.shape[1],), count, dtype=torch.long, device=scores.device)
