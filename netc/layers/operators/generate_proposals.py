"""Region proposals: GenerateProposals, GenerateProposalsCPP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.layers._operator_layer import check_axes, check_shape
from netc.layers._operators import operator
from netc.layers.operators._detectron import BoxOperator

if TYPE_CHECKING:
    from torch import Tensor


@operator("GenerateProposals", "GenerateProposalsCPP")
@dataclass(frozen=True)
class GenerateProposals(BoxOperator):
    """Proposals of each image: the anchors with the best scores, decoded, clipped, and suppressed greedily.

    Proposals with a side below `min_size` times the scale of the image, or a center beyond the image, are dropped
    before suppression.

    Shapes: scores (n, a, h, w), codes (n, 4 a, h, w), height, width and scale of each image (n, 3), and anchors (a, 4)
    to proposals (r, 5), of image, x1, y1, x2, y2, and their scores (r). Rotated anchors have 5 numbers, center x and y,
    width, height and angle in degrees: codes (n, 5 a, h, w), proposals (r, 6).

    Reference: `generate_proposals_op.cc`, `generate_proposals_op_util_boxes.h`, `generate_proposals_op_util_nms.h`.
    """

    spatial_scale: float = 1 / 16
    """The inverse of the distance between anchors, in pixels of the image."""
    pre_nms_topN: int = 6000  # noqa: N815
    """The number of anchors of an image that are decoded; all if not positive."""
    post_nms_topN: int = 300  # noqa: N815
    """The largest number of proposals of an image; no limit if not positive."""
    nms_thresh: float = 0.7
    """Proposals that overlap a better one by more are dropped."""
    min_size: float = 16.0
    """The smallest side of a proposal, in pixels of the unscaled image."""

    bottom_count: ClassVar[Count] = Count(4)
    top_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs that do not match, E103 for bounds of angles."""
        scores, codes, info, anchors = bottoms
        check_axes(self.type, scores, 4)
        check_axes(self.type, anchors, 2, 3)
        n, a, h, w = scores
        numbers = anchors[1]
        if differ(numbers, 4) and differ(numbers, 5):
            fail(f"expected anchors of 4 or 5 numbers, got {text(anchors)}", field="input")
        if numbers == 5:
            self.check_bounds()
        check_shape(self.type, codes, (n, numbers * a, h, w), 1)
        check_shape(self.type, info, (n, 3), 2)
        check_shape(self.type, anchors, (a, numbers), 3)
        return (UNKNOWN, numbers + 1), (UNKNOWN,)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return "float32", "float32"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per code."""
        return Cost(operations=product(bottoms[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, Tensor]:
        """Computed as described in the class docstring."""
        import torch

        scores, codes, info, anchors = (bottom.detach() for bottom in bottoms)
        numbers = anchors.shape[1]
        found = [
            self._of_image(one, code.view(len(anchors), numbers, *code.shape[1:]), about, anchors)
            for one, code, about in zip(scores, codes, info)
        ]
        rows = [torch.cat((boxes.new_full((len(boxes), 1), i), boxes), 1) for i, (boxes, _) in enumerate(found)]
        none = scores.new_zeros(0, numbers + 1), scores.new_zeros(0)
        return torch.cat([none[0], *rows]), torch.cat([none[1], *(kept for _, kept in found)])

    def _of_image(self, scores: Tensor, codes: Tensor, info: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """The proposals (k, 4) or (k, 5) of one image and their scores: of scores (a, h, w), codes (a, 4, h, w)."""
        import torch

        from netc.functions.detectron_suppression import suppressed

        rules, (_, height, width) = self.rules(), scores.shape
        first = self.pre_nms_topN if self.pre_nms_topN > 0 else None
        scores, order = scores.flatten().sort(descending=True, stable=True)
        scores, order = scores[:first], order[:first]
        anchor, place = order // (height * width), order % (height * width)
        stride = scores.new_tensor(1 / self.spatial_scale)
        boxes = anchors[anchor]
        columns, rows = (place % width) * stride, (place // width) * stride
        if anchors.shape[1] == 4:
            boxes = boxes + torch.stack((columns, rows, columns, rows), 1)
        else:
            boxes = torch.cat((boxes[:, :2] + torch.stack((columns, rows), 1), boxes[:, 2:]), 1)
        boxes = rules.decoded(boxes, codes.flatten(2)[anchor, :, place])
        boxes = rules.clipped(boxes, info[0].trunc(), info[1].trunc())
        usable = rules.usable(boxes, self.min_size * info[2], info[0], info[1]).nonzero()[:, 0]
        boxes, scores = boxes[usable], scores[usable]
        limit = self.post_nms_topN if self.post_nms_topN > 0 else None
        kept = suppressed(boxes, scores, self.nms_thresh, inclusive=self.legacy_plus_one, limit=limit).to(boxes.device)
        return boxes[kept], scores[kept]
