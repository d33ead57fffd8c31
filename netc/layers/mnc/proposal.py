"""MNC's ProposalLayer: that of Faster R-CNN, with a gradient for the codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN
from netc.ir.fields import Fields
from netc.ir.layer import Mode, Shapes, fail
from netc.layers._python_replacement import param_values
from netc.layers._registry import register
from netc.layers.detection.proposal import ProposalLayer

if TYPE_CHECKING:
    from torch import Tensor

OF_CASCADE = (300, 300)
"""Proposals that are kept with the configuration of the cascade, which reads the second top."""


@register("Python", dialect="mnc", field="python_param", python=("pylayer.proposal_layer.ProposalLayer",))
@dataclass(frozen=True)
class MncProposalLayer(ProposalLayer):
    """Moves anchors by predicted codes, and keeps the best after non-maximum suppression; the codes get a gradient.

    The proposals are those of py-faster-rcnn's ProposalLayer. The gradient of a code is that of the box's corners, with
    sides of anchors that are one pixel shorter than in the box's computation; it is 0 where the anchor or the box
    extends beyond the image. The settings are those of MNC's configuration: with two tops, those of its cascade. They
    may be set in `param_str`.

    Shapes: scores (1, 2 a, h, w), first of background, codes (1, 4 a, h, w) and image information (1, 3 or more), of
    height, width and scale, to regions (r, 5) and the index of each one's anchor, (y w + x) a + anchor, (1, r).

    >>> MncProposalLayer().infer(((1, 18, 38, 63), (1, 36, 38, 63), (1, 3)), 2)
    ((?, 5), (1, ?))

    Reference: `pylayer/proposal_layer.py` of MNC; Dai et al., Instance-aware Semantic Segmentation via Multi-task
    Network Cascades, 2016.
    """

    use_clip: bool = False
    """Whether the codes' gradient is clipped."""
    clip_base: float = 256.0
    """1 / the greatest magnitude of a clipped gradient."""

    no_gradient: ClassVar[tuple[int, ...]] = (0, 2)
    ignored_keys: ClassVar[frozenset[str]] = frozenset({"num_classes", "gradient_scale"})

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `param_str` and the number of tops. Raises NetcError E103."""
        found = super().from_caffe(layer)
        given = param_values(layer.message("python_param")["param_str"])
        if len(list(layer.get("top", ()))) == 2 and "post_nms_topn" not in given:
            return dataclasses.replace(found, post_nms_topn=OF_CASCADE)
        return found

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match the anchors, E103 for settings out of range."""
        if self.clip_base <= 0:
            fail("`clip_base` must be positive", code="E103", field="python_param.param_str")
        super().infer(bottoms, tops)
        return ((UNKNOWN, 5), (1, UNKNOWN))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        from netc.functions.boxes import apply_deltas
        from netc.functions.moved_boxes import MovedAnchors, within
        from netc.functions.proposals import anchors_at, by_position, propose

        scores, codes, info = bottoms[0].detach(), by_position(bottoms[1][0], 4), bottoms[2].detach().reshape(-1)
        base, (height, width) = self.anchors(), scores.shape[2:]
        anchors = anchors_at(base, self.feat_stride, height, width, scores)
        boxes, _, rows = propose(
            anchors,
            codes.detach(),
            by_position(scores[0, len(base) :], 1)[:, 0],
            info[:2],
            self.smallest(info, mode.training),
            self.limits(mode.training),
        )
        codes, anchors = codes[rows], anchors[rows]
        used = within(anchors, info) & within(apply_deltas(anchors, codes.detach()), info)
        limit = 1 / self.clip_base if self.use_clip else None
        moved: Tensor = MovedAnchors.apply(codes, boxes, anchors, used, limit)  # type: ignore[no-untyped-call]
        return (torch.nn.functional.pad(moved, (1, 0)), rows[None].to(scores))[: mode.tops]
