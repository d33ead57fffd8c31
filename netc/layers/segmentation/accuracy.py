"""Accuracy of labels per position: SegAccuracy, EltwiseAccuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PositionAccuracy(Layer):
    """Base of both layers: scores of classes, and a label for each position."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (1,)
    role: ClassVar[Role] = "metric"
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def classes(self, bottoms: Shapes) -> int:
        """Return the number of classes. Raises NetcError E102 unless there is one label per position."""
        scores, labels = bottoms
        if len(scores) != 4 or differ(labels, (scores[0], 1, *scores[2:])):
            fail(f"expected (n, c, h, w) and (n, 1, h, w), got {text(scores)} and {text(labels)}", field="bottom")
        return scores[1]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison and one addition per score."""
        return Cost(operations=2 * product(bottoms[0]))

    def labels(self, bottoms: Sequence[Tensor], mode: Mode, ignored: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the labels of shape (n, h, w), 0 where they are ignored, and where they are not.

        Raises NetcError E301 for a label that is neither a class nor ignored.
        """
        import torch

        classes = self.classes((tuple(bottoms[0].shape), tuple(bottoms[1].shape)))
        labels = bottoms[1][:, 0].trunc() if bottoms[1].is_floating_point() else bottoms[1][:, 0]
        valid = torch.ones_like(labels, dtype=torch.bool)
        for label in ignored:
            valid = valid & (labels != label)
        labels = torch.where(valid, labels, 0)
        mode.check_range(labels, 0, classes, "label")
        return labels.long().clamp(0, classes - 1), valid


@register("SegAccuracy", dialect="pspnet", field="seg_accuracy_param", v1="SEG_ACCURACY")
@dataclass(frozen=True)
class SegAccuracy(PositionAccuracy):
    """Pixel accuracy, mean accuracy of classes and mean intersection over union of labeled planes.

    Of equal scores that of the last class counts. Classes without labels have no part in the mean accuracy, and an
    intersection over union of 1 if no position is assigned to them.

    Shapes: scores (n, c, h, w) and labels (n, 1, h, w) to (1, 1, 1, 3).

    >>> SegAccuracy().infer(((2, 21, 41, 41), (2, 1, 41, 41)), 1)
    ((1, 1, 1, 3),)

    Reference: `seg_accuracy_layer.cpp` and `confusion_matrix.cpp` of DeepLab.
    """

    metric: str = "PixelAccuracy"
    """No effect: the top always holds all three."""
    ignore_label: tuple[int, ...] = ()
    """Positions with one of these labels are ignored."""
    reset: bool = True
    """Whether each pass starts from zero; false accumulates counts over all passes of a phase."""

    @property
    def carries_state(self) -> bool:  # type: ignore[override]
        """Whether counts are accumulated."""
        return not self.reset

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one label per position."""
        self.classes(bottoms)
        return ((1, 1, 1, 3),)

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """Counts of labels by class and assigned class."""
        classes = self.classes(bottoms)
        return () if self.reset else (StateEntry("counts", (classes, classes), "float64"),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Counts are float64, which is exact for 2**53 positions."""
        import torch

        labels, valid = self.labels(bottoms, mode, self.ignore_label)
        scores = bottoms[0].detach()
        classes = scores.shape[1]
        best = classes - 1 - scores.flip(1).argmax(1)
        cells = (labels * classes + best).flatten()
        zeros = scores.new_zeros(classes * classes, dtype=torch.float64)
        counts = zeros.scatter_add(0, cells, valid.flatten().double()).view(classes, classes)
        if not self.reset:
            before = mode.kept("counts")
            counts = counts if before is None else counts + before
            mode.keep("counts", counts)
        return torch.stack(_measures(counts)).to(scores.dtype).view(1, 1, 1, 3)


def _measures(counts: Tensor) -> list[Tensor]:
    """The three measures of a matrix of counts, with labels in its rows."""
    import torch

    hits, labeled, assigned = counts.diagonal(), counts.sum(1), counts.sum(0)
    union = labeled + assigned - hits
    present = (labeled > 0).to(counts.dtype)
    jaccard = torch.where(hits == union, 1.0, hits / union.clamp(min=1))
    accuracy = hits.sum() / counts.sum().clamp(min=1)
    recall = (hits / labeled.clamp(min=1)).sum() / present.sum().clamp(min=1)
    return [accuracy, recall, jaccard.mean()]


@register("EltwiseAccuracy", dialect="deconvnet", field="eltwise_accuracy_param", v1="ELTWISE_ACCURACY")
@dataclass(frozen=True)
class EltwiseAccuracy(PositionAccuracy):
    """The fraction of positions whose label is among the `top_k` highest scores.

    Of equal scores that of the last class is the highest. Without a position that counts the top is 0.

    Shapes: scores (n, c, h, w) and labels (n, 1, h, w) to (1, 1, 1, 1).

    >>> EltwiseAccuracy().infer(((2, 21, 41, 41), (2, 1, 41, 41)), 1)
    ((1, 1, 1, 1),)

    Reference: `eltwise_accuracy_layer.cpp` of DeconvNet.
    """

    top_k: int = 1
    """A label counts as correct if its class is among this many highest scores."""
    ignore_label: tuple[int, ...] = ()
    """Positions with one of these labels are ignored."""

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a `top_k` of 0."""
        result = super().from_caffe(layer)
        if result.top_k < 1:
            fail("`top_k` is 0: it must be 1 or more", code="E103", field="top_k")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if labels or `top_k` do not match the scores."""
        classes = self.classes(bottoms)
        if self.top_k > classes:
            fail(f"`top_k` {self.top_k} exceeds {counted(classes, 'class')}", field="top_k")
        return ((1, 1, 1, 1),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Counts the classes that are ranked above the label's, without sorting."""
        import torch

        labels, valid = self.labels(bottoms, mode, self.ignore_label)
        scores, chosen = bottoms[0].detach(), labels.unsqueeze(1)
        own, order = scores.gather(1, chosen), torch.arange(scores.shape[1], device=scores.device).view(1, -1, 1, 1)
        above = (scores > own) | ((scores == own) & (order > chosen))
        hits = (above.sum(1) < self.top_k) & valid
        return (hits.sum() / valid.sum().clamp(min=1)).to(scores.dtype).view(1, 1, 1, 1)
