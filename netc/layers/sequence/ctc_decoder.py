"""CTCGreedyDecoder, CTCDecoder, LabelsequenceAccuracy: the best label of each step, without blanks and repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import LayerUse, register
from netc.layers.sequence._labels import lengths_by_indicators, packed, rounded, up_to_end

if TYPE_CHECKING:
    from torch import Tensor


def of_caffe_ocr(use: LayerUse) -> bool:
    """Whether there is one bottom, or two and one top where the second one is not named as an indicator."""
    if use.bottoms != 2:
        return use.bottoms == 1
    second = str(use.parameters.get("bottom", ("", ""))[1]).lower()
    return use.tops == 1 and not any(word in second for word in ("ind", "cont", "seq"))


@dataclass(frozen=True)
class GreedyDecoder(Layer):
    """Base of the decoders: scores (t, n, c), and the most likely class of each step."""

    blank_index: int = 0
    """The class of the blank; a negative one is the last class."""
    ctc_merge_repeated: bool = True
    """Whether equal classes in a row count once."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per score."""
        return Cost(operations=product(bottoms[0]))

    def decoded(self, scores: Tensor, steps: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the labels of each sequence (n, t), padded with 0, and their number."""
        import torch

        best = scores.flatten(2).argmax(2).t()
        blank = scores.shape[2] - 1 if self.blank_index < 0 else self.blank_index
        kept = best != blank
        if self.ctc_merge_repeated:
            same = torch.zeros_like(kept[:, :1]), best[:, 1:] == best[:, :-1]
            kept = kept & ~torch.cat(same, 1)
        if steps is not None:
            kept = kept & (torch.arange(best.shape[1], device=best.device) < steps.unsqueeze(1))
        return packed(best, kept)


@register("CTCGreedyDecoder", dialect="caffe_ocr", field="ctc_decoder_param", when=of_caffe_ocr)
@dataclass(frozen=True)
class CTCGreedyDecoder(GreedyDecoder):
    """The most likely class of each step, without blanks and repetitions; with labels, the accuracy.

    Shapes: scores (t, n, c) to labels (n, t, 1, 1), each row padded with -1. With labels (n, length) as a second bottom
    to (1, 2, 1, 1): 1 minus the mean edit distance, divided by the length of the longer sequence, and the fraction of
    sequences without an error.

    >>> CTCGreedyDecoder().infer(((20, 4, 37),), 1)
    ((4, 20, 1, 1),)

    Reference: `ctc_decoder_layer.cpp` of caffe_ocr.
    """

    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)
    role: ClassVar[Role] = "score"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """An EditDistanceAccuracy if there are two bottoms."""
        if cls is CTCGreedyDecoder and len(layer.get("bottom", ())) > 1:
            own: Any = EditDistanceAccuracy
            found: Self = own.from_caffe(layer)
            return found
        return super().from_caffe(layer)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottom has scores."""
        scores = _checked(bottoms[0])
        return ((scores[1], scores[0], 1, 1),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Labels as floating-point numbers."""
        return _padded(*self.decoded(bottoms[0].detach())).to(bottoms[0].dtype)


@dataclass(frozen=True)
class EditDistanceAccuracy(CTCGreedyDecoder):
    """The accuracy of the most likely class of each step, by the edit distance from the labels.

    Shapes: scores (t, n, c) and labels (n, length) to (1, 2, 1, 1): 1 minus the mean edit distance, divided by the
    length of the longer sequence, and the fraction of sequences without an error.

    >>> EditDistanceAccuracy().infer(((20, 4, 37), (4, 10)), 1)
    ((1, 2, 1, 1),)

    Reference: `ctc_decoder_layer.cpp` of caffe_ocr. A sequence without labels, decoded as such, counts as an error in
    the second number.
    """

    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (1,)
    role: ClassVar[Role] = "metric"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one row of labels for each sequence."""
        scores, labels = _checked(bottoms[0]), bottoms[1]
        if len(labels) < 2 or differ(labels[0], scores[1]):
            fail(f"expected one row of labels for each of {counted(scores[1], 'sequence')}, got {text(labels)}",
                 field="bottom")  # fmt: skip
        return ((1, 2, 1, 1),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Both numbers."""
        import torch

        scores, labels = bottoms[0].detach(), bottoms[1].detach().flatten(1)
        found, lengths = self.decoded(scores)
        blank = scores.shape[2] - 1 if self.blank_index < 0 else self.blank_index
        whole = rounded(labels)
        wanted, wanted_lengths = packed(whole, up_to_end(labels) & (whole != blank))
        distance = edit_distance(found, lengths, wanted, wanted_lengths)
        longer = torch.maximum(lengths, wanted_lengths)
        mean = (distance.to(scores.dtype) / longer.clamp(min=1)).mean()
        exact = ((distance == 0) & (longer > 0)).to(scores.dtype).mean()
        return torch.stack((1 - mean, exact)).reshape(1, 2, 1, 1)


@register("CTCGreedyDecoder", dialect="openvino", field="ctc_decoder_param")
@dataclass(frozen=True)
class IndicatedDecoder(GreedyDecoder):
    """The most likely class of each step up to the end of the sequence, without blanks and repetitions.

    A sequence ends before the first step after its start whose indicator is 0. Tops: the labels; with three tops, or
    two and no targets, minus the sum of the highest scores of each sequence; with targets the fraction of sequences
    whose labels begin with them.

    Shapes: scores (t, n, c), indicators (t, n) and optional targets (t, n) to labels (n, t, 1, 1), each row padded with
    -1, (n, 1, 1, 1) and (1, 1, 1, 1).

    >>> IndicatedDecoder().infer(((20, 4, 37), (20, 4)), 1)[0]
    (4, 20, 1, 1)

    Reference: `ctc_decoder_layer.cpp` of OpenVINO's Caffe, after C. Wick.
    """

    blank_index: int = -1
    """The class of the blank; a negative one is the last class."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    top_count: ClassVar[Count] = Count(1, 3)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    role: ClassVar[Role] = "score"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E020 for three tops without targets, E102 for shapes."""
        scores = _checked(bottoms[0])
        if tops > len(bottoms):
            fail(f"expected a third bottom with targets for {tops} tops", code="E020", field="top")
        for other in bottoms[1:]:
            if len(other) < 2 or differ(other[:2], scores[:2]):
                fail(f"expected {text(scores[:2])} as the scores have, got {text(other)}", field="bottom")
        labels, score, accuracy = (scores[1], scores[0], 1, 1), (scores[1], 1, 1, 1), (1, 1, 1, 1)
        return (labels, score, accuracy) if tops == 3 or len(bottoms) == 2 else (labels, accuracy)[:tops]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Those tops that the net has."""
        import torch

        scores = bottoms[0].detach()
        steps = lengths_by_indicators(_step_starts(bottoms[1].detach().flatten(1)))
        found, lengths = self.decoded(scores, steps)
        labels = _padded(found, lengths).to(scores.dtype)
        if mode.tops == 1:
            return (labels,)
        inside = torch.arange(len(scores), device=scores.device).unsqueeze(1) < steps
        total = self._score(scores.flatten(2).amax(2), inside).reshape(-1, 1, 1, 1)
        if len(bottoms) == 2:
            return labels, total
        accuracy = self._accuracy(found, lengths, bottoms[2].detach().to(scores.dtype).flatten(1).t())
        return (labels, total, accuracy.reshape(1, 1, 1, 1))[:: 4 - mode.tops][: mode.tops]

    def _score(self, best: Tensor, inside: Tensor) -> Tensor:
        """The second top of each sequence, of the highest score of each step (t, n), where it is inside."""
        return -best.where(inside, 0).sum(0)

    def _accuracy(self, found: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """The last top, of labels and targets (n, t)."""
        return _begins_with(_padded(found, lengths).flatten(1), targets).to(targets.dtype).mean()


@register("CTCDecoder", dialect="wick", field="ctc_decoder_param")
@dataclass(frozen=True)
class CTCDecoder(IndicatedDecoder):
    """The most likely class of each step up to the end of the sequence, without blanks and repetitions.

    A sequence ends before the first step after its start whose indicator is 0. Tops: the labels; with three tops, or
    two and no targets, the product of the highest probabilities of each sequence; with targets 1 minus the mean edit
    distance from them, divided by the length of the longer sequence.

    Shapes: probabilities (t, n, c), indicators (t, n) and optional targets (t, n), each column ending before its first
    negative number, to labels (n, t, 1, 1), each row padded with -1, (n, 1, 1, 1) and (1, 1, 1, 1).

    >>> CTCDecoder().infer(((20, 4, 37), (20, 4)), 1)[0]
    (4, 20, 1, 1)

    Reference: `ctc_decoder_layer.cpp` of C. Wick's Caffe, whose search by prefixes (`decoding`) is not supported.
    """

    def _score(self, best: Tensor, inside: Tensor) -> Tensor:
        return best.where(inside, 1).prod(0)

    def _accuracy(self, found: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        wanted, wanted_lengths = packed(rounded(targets), up_to_end(targets))
        distance = edit_distance(found, lengths, wanted, wanted_lengths)
        longer = lengths.maximum(wanted_lengths).clamp(min=1)
        return 1 - (distance.to(targets.dtype) / longer).mean()


@register("LabelsequenceAccuracy", dialect="jolibrain", field="labelsequence_accuracy_param")
@dataclass(frozen=True)
class LabelsequenceAccuracy(Layer):
    """The fraction of sequences whose most likely classes, without blanks and repetitions, are their labels.

    Shapes: scores (n, t, c) and labels (n, length) to a scalar; blanks among the labels are skipped.

    >>> LabelsequenceAccuracy().infer(((4, 20, 37), (4, 10)), 1)
    ((),)

    Reference: `labelsequence_accuracy_layer.cpp` of jolibrain's Caffe.
    """

    blank_label: int = 0
    """The class of the blank."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (1,)
    role: ClassVar[Role] = "metric"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one row of labels for each sequence."""
        scores, labels = bottoms
        if len(scores) < 3 or len(labels) < 2 or differ(scores[0], labels[0]) or differ(product(scores[3:]), 1):
            fail(f"expected scores (n, t, c) and labels (n, length), got {text(scores)} and {text(labels)}",
                 field="bottom")  # fmt: skip
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per score."""
        return Cost(operations=product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Compares rows that are padded to one length."""
        import torch.nn.functional as F

        scores, labels = bottoms[0].detach(), bottoms[1].detach().flatten(1).long()
        found, lengths = GreedyDecoder(self.blank_label).decoded(scores.transpose(0, 1))
        wanted, wanted_lengths = packed(labels, labels != self.blank_label)
        width = max(found.shape[1], wanted.shape[1])
        found, wanted = (F.pad(row, (0, width - row.shape[1])) for row in (found, wanted))
        return ((found == wanted).all(1) & (lengths == wanted_lengths)).to(scores.dtype).mean()


def edit_distance(first: Tensor, first_lengths: Tensor, second: Tensor, second_lengths: Tensor) -> Tensor:
    """Return the number of insertions, deletions and replacements between the rows of two padded matrices.

    Insertions along a row of the table are a running minimum, so that only the steps of the first are a loop.
    """
    import torch

    places = torch.arange(second.shape[1] + 1, device=first.device)
    row = places.expand(len(first), -1)
    rows = [row]
    for i in range(first.shape[1]):
        differs = (first[:, i : i + 1] != second).to(row.dtype)
        best = torch.minimum(row[:, 1:] + 1, row[:, :-1] + differs)
        best = torch.cat((row[:, :1] + 1, best), 1)
        row = (best - places).cummin(1).values + places
        rows.append(row)
    table = torch.stack(rows, 1)
    items = torch.arange(len(first), device=first.device)
    return table[items, first_lengths, second_lengths]


def _checked(scores: Shape) -> Shape:
    if len(scores) not in (3, 4) or differ(product(scores[3:]), 1):
        fail(f"expected scores (time steps, sequences, classes), got {text(scores)}", field="bottom")
    return scores


def _padded(labels: Tensor, lengths: Tensor) -> Tensor:
    """Return labels (n, t, 1, 1) with -1 after the end of each row."""
    import torch

    inside = torch.arange(labels.shape[1], device=labels.device) < lengths.unsqueeze(1)
    return labels.where(inside, -1).reshape(*labels.shape, 1, 1)


def _step_starts(indicators: Tensor) -> Tensor:
    """Return 0 where an indicator is exactly 0, else 1."""
    return (indicators != 0).to(indicators.dtype)


def _begins_with(labels: Tensor, targets: Tensor) -> Tensor:
    """Return for each row whether the labels begin with the targets, which end at a negative one."""
    kept = up_to_end(targets)
    return ((rounded(targets) == labels.long()) | ~kept).all(1)
