"""The targets of a region proposal network: Faster R-CNN's AnchorTargetLayer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._python_replacement import PythonReplacement
from netc.layers._registry import register
from netc.layers.detection._anchors import base_anchors
from netc.layers.detection.proposal import check_info, check_settings

if TYPE_CHECKING:
    from torch import Tensor

OF_BOX = 5
"""Numbers of an object: its corners and its class."""


@dataclass(frozen=True)
class AnchorTargets(PythonReplacement):
    """Base of the layers that label anchors."""

    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Ratios of height to width of the anchors."""
    scales: tuple[float, ...] = (8.0, 16.0, 32.0)
    """Factors of the sides of the anchors."""
    allowed_border: float = 0.0
    """How many pixels an anchor may reach beyond the image."""
    positive_overlap: float = 0.7
    """Overlap from which an anchor is an object (`RPN_POSITIVE_OVERLAP`)."""
    negative_overlap: float = 0.3
    """Overlap below which an anchor is background (`RPN_NEGATIVE_OVERLAP`)."""
    clobber_positives: bool = False
    """Whether an anchor that is both is background (`RPN_CLOBBER_POSITIVES`)."""
    batch_size: int = 256
    """Number of anchors with a label (`RPN_BATCHSIZE`)."""
    fg_fraction: float = 0.5
    """Largest part of them that are objects (`RPN_FG_FRACTION`)."""
    bbox_inside_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    """Inside weights of an object's codes (`RPN_BBOX_INSIDE_WEIGHTS`)."""
    positive_weight: float = -1.0
    """Sum of the outside weights of objects, that of background being 1 less this; negative for equal weights
    (`RPN_POSITIVE_WEIGHT`)."""

    top_count: ClassVar[Count] = Count(1, 4)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def check_targets(self) -> None:
        """Raises NetcError E103 for settings out of range."""
        check_settings(self, "ratios", "scales", "batch_size")
        if len(self.bbox_inside_weights) != 4 or self.positive_weight >= 1:
            fail("expected 4 inside weights and a `positive_weight` below 1", code="E103", field="param_str")

    def inside(self, anchors: Tensor, info: Tensor) -> Tensor:
        """Whether each anchor is inside an image of this height and width, but for the border."""
        border = self.allowed_border
        return (anchors[:, :2] >= -border).all(1) & (anchors[:, 2:] < info[[1, 0]] + border).all(1)

    def matched(self, anchors: Tensor, objects: Tensor, inside: Tensor) -> tuple[Tensor, Tensor | None]:
        """The label of each anchor before sampling, and its nearest object; None without objects."""
        import torch

        from netc.functions.boxes import iou

        background = anchors.new_zeros(anchors.shape[0])
        if not objects.shape[0]:
            return torch.where(inside, background, -1), None
        overlaps = iou(anchors, objects, inclusive=True)
        most, nearest = overlaps.max(1)
        best = overlaps.masked_fill(~inside[:, None], -1).amax(0)
        positive = (overlaps == best).any(1) | (most >= self.positive_overlap)
        negative = most < self.negative_overlap
        positive = positive & ~negative if self.clobber_positives else positive
        labels = torch.where(positive, 1.0, torch.where(negative, 0.0, -1.0)).to(anchors)
        return torch.where(inside, labels, -1), nearest

    def sampled(self, labels: Tensor) -> Tensor:
        """The labels with those that are not drawn set to -1."""
        from netc.functions.sampling import random_subset

        positive = random_subset(labels == 1, int(self.fg_fraction * self.batch_size))
        negative = random_subset(labels == 0, self.batch_size - positive.sum())
        return labels.new_full((), -1).where(~(positive | negative), labels)

    def relabelled(self, labels: Tensor, inside: Tensor, given: Sequence[Tensor]) -> Tensor:
        """The labels after those of further bottoms; `inside` marks the anchors that have one."""
        return labels

    def codes(
        self, anchors: Tensor, objects: Tensor, nearest: Tensor | None, labels: Tensor, inside: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The codes, inside weights and outside weights of each anchor."""
        from netc.functions.boxes import deltas

        codes = anchors.new_zeros(anchors.shape)
        if nearest is not None:
            codes = deltas(objects[nearest, :4], anchors).masked_fill(~inside[:, None], 0)
        positive, negative = (labels == 1)[:, None], (labels == 0)[:, None]
        weights = positive * anchors.new_tensor(self.bbox_inside_weights)
        of_object, of_background = positive.to(anchors), negative.to(anchors)
        if self.positive_weight < 0:
            each = (of_object + of_background) / (of_object + of_background).sum().clamp(min=1)
        else:
            each = of_object / of_object.sum() * self.positive_weight
            each = each.nan_to_num() + of_background / of_background.sum() * (1 - self.positive_weight)
        return codes, weights, each.nan_to_num().expand(-1, 4)


@register("Python", dialect="fast_rcnn", field="python_param", python=("rpn.anchor_target_layer.AnchorTargetLayer",))
@dataclass(frozen=True)
class AnchorTargetLayer(AnchorTargets):
    """Labels anchors as object or background, with the codes that move them to their objects.

    Anchors inside the image are 1 if they overlap an object by `positive_overlap` or more than any other anchor, 0 if
    they overlap no object by `negative_overlap`, and -1 otherwise. Of those, `batch_size` are drawn at random, at most
    `fg_fraction` of them objects; the others become -1. The settings are those of py-faster-rcnn's configuration and
    may be set in `param_str`. In an image without objects all anchors are background.

    Shapes: scores (1, 2 a, h, w), of which only the extents are used, objects (g, 5), of corners and class, and image
    information (1, 3 or more) to labels (1, 1, a h, w), codes, inside weights and outside weights (1, 4 a, h, w).

    >>> AnchorTargetLayer().infer(((1, 18, 38, 63), (4, 5), (1, 3), (1, 3, 600, 1000)), 4)
    ((1, 1, 342, 63), (1, 36, 38, 63), (1, 36, 38, 63), (1, 36, 38, 63))

    Reference: `rpn/anchor_target_layer.py` of py-faster-rcnn; Ren et al., Faster R-CNN, 2015.
    """

    feat_stride: int = 16
    """Distance between positions, in pixels."""
    base_size: int = 16
    """Side of an anchor of scale and ratio 1, in pixels."""

    bottom_count: ClassVar[Count] = Count(3, 4)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match, E103 for settings out of range."""
        self.check_targets()
        check_settings(self, "feat_stride", "base_size")
        scores, count = bottoms[0], len(self.ratios) * len(self.scales)
        if len(scores) != 4 or differ(scores[0], 1):
            fail(f"expected scores of a batch of 1 image, got {text(scores)}", field="bottom")
        check_objects(bottoms[1])
        check_info(bottoms[2], 1)
        codes = (1, 4 * count, *scores[2:])
        return ((1, 1, count * scores[2], scores[3]), codes, codes, codes)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Fifteen operations per anchor and object."""
        return Cost(operations=15 * product(tops[0]) * bottoms[1][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring, without waiting for a GPU."""
        import torch

        from netc.functions.proposals import anchors_at

        height, width = bottoms[0].shape[2:]
        objects, info = bottoms[1].detach().double(), bottoms[2].detach().reshape(-1)
        base = base_anchors(self.base_size, self.ratios, self.scales)
        anchors = anchors_at(base, self.feat_stride, height, width, objects)
        inside = self.inside(anchors, info)
        labels, nearest = self.matched(anchors, objects[:, :4], inside)
        labels = self.relabelled(self.sampled(labels), inside, bottoms[3:])
        maps = (labels, *self.codes(anchors, objects, nearest, labels, inside))
        rows = [one.reshape(height, width, len(base), -1).permute(2, 3, 0, 1) for one in maps]
        shapes = ((1, 1, len(base) * height, width), *((1, len(base) * 4, height, width),) * 3)
        return tuple(torch.reshape(one, shape).to(bottoms[0].dtype) for one, shape in zip(rows, shapes))[: mode.tops]


def check_objects(objects: Shape) -> None:
    """Raises NetcError E102 unless there are five numbers for each object."""
    if len(objects) < 2 or differ(product(objects[1:]), OF_BOX):
        fail(f"expected objects of {OF_BOX} numbers (x1, y1, x2, y2, class), got {text(objects)}", field="bottom")
