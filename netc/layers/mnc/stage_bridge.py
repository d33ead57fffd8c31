"""MNC's StageBridgeLayer: the regions of the next stage, and in training what it learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import UNKNOWN, Shape, differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.detection._regions import check_rows
from netc.layers.detection.anchor_target import check_objects
from netc.layers.detection.proposal import check_info
from netc.layers.mnc._targets import OF_INFO, CascadeTargets, GivenMasks, MatchedRegions, check_masks, matched_with

if TYPE_CHECKING:
    from torch import Tensor

IN_TEST, IN_TRAINING = 4, 7
"""Numbers of bottoms."""


@register("Python", dialect="mnc", field="python_param", python=("pylayer.stage_bridge_layer.StageBridgeLayer",))
@dataclass(frozen=True)
class StageBridge(CascadeTargets):
    """Moves each region by the codes of its best class, clipped to the image.

    In training, with seven bottoms, the best class is not the background, and the objects are regions too. Regions that
    overlap an object by `bbox_thresh` are of its class, and come first; the others are background. The regions and the
    codes get the gradient of the fork, which takes that of the corners as that of x, y, width and height, and y1 and
    x2 - x1 of a region as its width and height; that of a code is 0 where a box extends beyond the image. The settings
    are those of MNC's configuration and may be set in `param_str`.

    Shapes: regions (r, 5), codes (r, 4 c), scores (r, c) and image information (1, 3 or more) to regions (r, 5). In
    training regions, codes, scores, objects (g, 5), their masks (g, h, w), image information, and the masks' heights
    and widths (g, 2) to regions (r + g, 5), labels (r + g), masks and their weights (r + g, 1, s, s), the matches
    (r + g, 12) as of ProposalTargetLayer, and codes, inside weights and outside weights (r + g, 4 num_classes).

    >>> StageBridge().infer(((300, 5), (300, 84), (300, 21), (1, 3)), 1)
    ((300, 5),)

    Reference: `pylayer/stage_bridge_layer.py` of MNC in its last version; Dai et al., Instance-aware Semantic
    Segmentation via Multi-task Network Cascades, 2016.
    """

    use_clip: bool = False
    """Whether the codes' gradient is clipped."""
    clip_base: float = 64.0
    """1 / the greatest magnitude of a clipped gradient."""
    bbox_thresh: float = 0.5
    """Overlap from which a region is of its object's class (`BBOX_THRESH`)."""

    bottom_count: ClassVar[Count] = Count(IN_TEST, IN_TRAINING)
    top_count: ClassVar[Count] = Count(1, 8)
    no_gradient: ClassVar[tuple[int, ...]] = (2, 3, 4, 5, 6)
    ignored_keys: ClassVar[frozenset[str]] = frozenset({"feat_stride"})
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match each other or the tops, E103 for settings out of range."""
        regions = check_rows(bottoms[0])
        _check_classes(bottoms[0], bottoms[1], bottoms[2])
        if len(bottoms) == IN_TEST:
            check_info(bottoms[3], 1)
            return self._fitting(((regions, 5),), tops)
        if len(bottoms) != IN_TRAINING:
            fail(f"expected {IN_TEST} bottoms, or {IN_TRAINING} in training, got {len(bottoms)}", field="bottom")
        self.check_targets()
        if self.clip_base <= 0:
            fail("`clip_base` must be positive", code="E103", field="python_param.param_str")
        check_objects(bottoms[3])
        check_masks(bottoms[4], bottoms[6], bottoms[3][0])
        check_info(bottoms[5], 1)
        if differ(product(bottoms[2][1:]), self.num_classes):
            fail(f"expected scores of {self.num_classes} classes, got {text(bottoms[2])}", field="bottom")
        unknown = UNKNOWN in (regions, bottoms[3][0])
        k = UNKNOWN if unknown else regions + bottoms[3][0]
        masks, codes = (k, 1, self.mask_size, self.mask_size), (k, 4 * self.num_classes)
        return self._fitting(((k, 5), (k,), masks, masks, (k, OF_INFO), codes, codes, codes), tops)

    def _fitting(self, shapes: Shapes, tops: int) -> Shapes:
        if tops > len(shapes):
            fail(f"expected at most {len(shapes)} tops with these bottoms, got {tops}", field="top")
        return shapes

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Twelve operations per region, and in training fifteen with each object."""
        objects = bottoms[3][0] if len(bottoms) == IN_TRAINING else 0
        return Cost(operations=bottoms[0][0] * (12 + 15 * objects))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring, without waiting for a GPU."""
        import torch

        from netc.functions.boxes import apply_deltas, clip
        from netc.functions.moved_boxes import MovedRegions, within

        train = len(bottoms) == IN_TRAINING
        regions, scores = bottoms[0].reshape(-1, 5), bottoms[2].detach().flatten(1)
        info = bottoms[5 if train else 3].detach().reshape(-1)
        best = scores[:, 1:].argmax(1) + 1 if train else scores.argmax(1)
        codes = bottoms[1].reshape(*scores.shape, 4).take_along_dim(best[:, None, None], 1)[:, 0]
        moved = apply_deltas(regions[:, 1:].detach(), codes.detach())
        boxes = clip(moved, info[1] - 1, info[0] - 1)
        if not train:
            return (torch.nn.functional.pad(boxes, (1, 0)),)
        limit = 1 / self.clip_base if self.use_clip else None
        boxes = MovedRegions.apply(regions, codes, boxes, within(moved, info), limit)  # type: ignore[no-untyped-call]
        return self._learned(boxes, bottoms, info, mode)

    def _learned(self, boxes: Tensor, bottoms: Sequence[Tensor], info: Tensor, mode: Mode) -> tuple[Tensor, ...]:
        """The tops in training, of moved regions."""
        import torch

        from netc.functions.boxes import clip

        objects, masks, sizes = (bottoms[i].detach() for i in (3, 4, 6))
        objects = objects.reshape(-1, 5)
        mode.check_range(objects[:, 4].trunc(), 0, self.num_classes, "class of an object")
        boxes = torch.cat((boxes, clip(objects[:, :4], info[1] - 1, info[0] - 1)))
        given = GivenMasks(masks, sizes.reshape(-1, 2))
        most, nearest, objects, known = matched_with(boxes.detach(), objects, given)
        order = (most < self.bbox_thresh).to(torch.int8).argsort(stable=True)
        boxes, row, is_object = boxes[order], nearest[order], (most >= self.bbox_thresh)[order]
        matched = MatchedRegions(boxes.detach(), row, objects[row], is_object)
        found = (torch.nn.functional.pad(boxes, (1, 0)), matched.labels, *self.masks(matched, known or given, info[2]))
        return (*found, *self.codes(matched))[: mode.tops]


def _check_classes(regions: Shape, codes: Shape, scores: Shape) -> None:
    """Raises NetcError E102 unless there are a score and four codes of each class for each region."""
    if len(scores) < 2 or differ(scores[0], regions[0]):
        fail(f"expected scores of each region, got {text(scores)}", field="bottom")
    if len(codes) < 2 or differ(codes[0], regions[0]) or differ(product(codes[1:]), 4 * product(scores[1:])):
        fail(f"expected four codes for each of the scores {text(scores)}, got {text(codes)}", field="bottom")
