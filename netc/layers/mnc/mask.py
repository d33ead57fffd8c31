"""MNC's MaskLayer: predicted masks as maps, and in training the class of each by its overlap with an object's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._python_replacement import PythonReplacement
from netc.layers._registry import register
from netc.layers.detection.proposal import check_settings
from netc.layers.mnc._targets import OF_INFO

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 1 << 15
"""Limit of the coordinates of boxes, in pixels."""


@register("Python", dialect="mnc", field="python_param", python=("pylayer.mask_layer.MaskLayer",))
@dataclass(frozen=True)
class MaskProposals(PythonReplacement):
    """Reshapes predicted masks to maps, and in training labels them.

    In training, with three bottoms, a mask is resized to its region, and pixels from `binarize_thresh` belong to it.
    Its label is its object's class if both overlap by `fg_seg_thresh`, else 0. Only masks with a label get a gradient.
    The settings are those of MNC's configuration and may be set in `param_str`.

    Shapes: masks (n, s s) to (n, 1, s, s); in training with the objects' masks (g, h, w) and the matches (n, 12) of
    ProposalTargetLayer, also to labels (n, 1).

    >>> MaskProposals().infer(((300, 441),), 1)
    ((300, 1, 21, 21),)

    Reference: `pylayer/mask_layer.py` of MNC; Dai et al., Instance-aware Semantic Segmentation via Multi-task Network
    Cascades, 2016.
    """

    mask_size: int = 21
    """Height and width s of a mask (`MASK_SIZE`)."""
    binarize_thresh: float = 0.4
    """Prediction from which a pixel belongs to a mask (`BINARIZE_THRESH`)."""
    fg_seg_thresh: float = 0.5
    """Overlap from which a mask is of its object's class (`FG_SEG_THRESH`)."""

    bottom_count: ClassVar[Count] = Count(1, 3)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms that do not match each other or the tops, E103 without a size."""
        check_settings(self, "mask_size")
        masks, side = bottoms[0], self.mask_size
        if not masks or differ(product(masks[1:]), side * side):
            fail(f"expected masks of {side} x {side} values, got {text(masks)}", field="bottom")
        maps = (masks[0], 1, side, side)
        if len(bottoms) == 1 and tops == 1:
            return (maps,)
        if len(bottoms) != 3:
            fail("labels need three bottoms: predicted masks, masks of objects, and matches", field="bottom")
        if len(bottoms[1]) != 3:
            fail(f"expected masks of objects (objects, height, width), got {text(bottoms[1])}", field="bottom")
        if not bottoms[2] or differ(bottoms[2][0], masks[0]) or differ(product(bottoms[2][1:]), OF_INFO):
            fail(f"expected {OF_INFO} numbers of each mask's match, got {text(bottoms[2])}", field="bottom")
        return (maps, (masks[0], 1))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """In training two operations per pixel of an object's mask, for each mask."""
        return Cost(operations=2 * bottoms[0][0] * product(bottoms[1][1:]) if len(bottoms) == 3 else 0)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Waits for a GPU in training, where the regions' extents are needed."""
        import torch

        maps = bottoms[0].reshape(-1, 1, self.mask_size, self.mask_size)
        if len(bottoms) == 1:
            return (maps,)
        labels = self._labels(maps[:, 0].detach(), bottoms[1].detach(), bottoms[2].detach().reshape(-1, OF_INFO), mode)
        maps = torch.where(labels[:, :, None, None] > 0, maps, maps.detach())
        return (maps, labels)[: mode.tops]

    def _labels(self, maps: Tensor, masks: Tensor, matches: Tensor, mode: Mode) -> Tensor:
        import torch

        from netc.functions.region_masks import ObjectMasks, overlaps_of_masks

        row = matches[:, 0]
        mode.check_range(row, 0, masks.shape[0], "object of a mask", ignore=-1)
        known = (row >= 0) & (row < masks.shape[0])
        boxes = matches[:, 4:].round().nan_to_num(-1)
        mode.check_range(boxes, -LARGEST, LARGEST, "corner of a box")
        corners = boxes.clamp(-LARGEST, LARGEST)
        objects = ObjectMasks(masks, row.masked_fill(~known, 0).long(), matches[:, 1:3], corners[:, 4:])
        overlaps = overlaps_of_masks(maps, objects, corners[:, :4], self.binarize_thresh)
        labels = matches[:, 3].masked_fill(~known | (overlaps < self.fg_seg_thresh), 0)
        return torch.where(labels > 0, labels, 0)[:, None]
