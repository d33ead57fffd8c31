"""MNC's AnchorTargetLayer: that of Faster R-CNN, with labels of the proposals that the cascade learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.layer import Count
from netc.layers._registry import register
from netc.layers.detection.anchor_target import AnchorTargetLayer

if TYPE_CHECKING:
    from torch import Tensor


@register("Python", dialect="mnc", field="python_param", python=("pylayer.anchor_target_layer.AnchorTargetLayer",))
@dataclass(frozen=True)
class MncAnchorTargetLayer(AnchorTargetLayer):
    """Labels anchors as object or background, and those of given proposals as such.

    After anchors are labelled and drawn as by py-faster-rcnn's AnchorTargetLayer, those of the fourth bottom become
    objects and those of the fifth background, where they are inside the image.

    Shapes: scores (1, 2 a, h, w), of which only the extents are used, objects (g, 5), of corners and class, image
    information (1, 3 or more), and indices (f) and (b) of anchors, (y w + x) a + anchor, to labels (1, 1, a h, w),
    codes, inside weights and outside weights (1, 4 a, h, w). A fourth bottom without a fifth is not read.

    >>> MncAnchorTargetLayer().infer(((1, 18, 38, 63), (4, 5), (1, 3), (19,), (45,)), 4)
    ((1, 1, 342, 63), (1, 36, 38, 63), (1, 36, 38, 63), (1, 36, 38, 63))

    Reference: `pylayer/anchor_target_layer.py` of MNC (`MIX_INDEX`); Dai et al., Instance-aware Semantic Segmentation
    via Multi-task Network Cascades, 2016.
    """

    bottom_count: ClassVar[Count] = Count(3, 5)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2, 3, 4)

    def relabelled(self, labels: Tensor, inside: Tensor, given: Sequence[Tensor]) -> Tensor:
        """The labels with those of given proposals."""
        if len(given) < 2:
            return labels
        for label, indices in ((0.0, given[1]), (1.0, given[0])):
            labels = labels.masked_fill(_marked(indices.detach().flatten(), labels) & inside, label)
        return labels


def _marked(indices: Tensor, like: Tensor) -> Tensor:
    """Whether each of the elements of `like` is among indices; those that do not exist are not read."""
    marks = like.new_zeros(like.shape[0] + 1)
    exists = (indices >= 0) & (indices < like.shape[0])
    return marks.index_fill(0, indices.masked_fill(~exists, like.shape[0]).long(), 1.0)[:-1] > 0
