"""MNC's ProposalTargetLayer: the classes, codes and masks of proposals drawn at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._python_replacement import param_values
from netc.layers._registry import register
from netc.layers.detection._regions import check_rows
from netc.layers.detection.anchor_target import check_objects
from netc.layers.detection.proposal import check_info, check_settings
from netc.layers.mnc._targets import OF_INFO, CascadeTargets, GivenMasks, MatchedRegions, check_masks, matched_with

if TYPE_CHECKING:
    from torch import Tensor

WITHOUT_MASKS: dict[str, Any] = {
    "batch_size": 128,
    "fg_fraction": (0.25,),
    "bg_fraction": (1.0,),
    "bg_thresh_hi": (0.5,),
    "bg_thresh_lo": (0.1,),
}
"""Settings of MNC's configuration for Faster R-CNN."""
BOTTOMS = (3, 5, 6)
"""Numbers of bottoms: without masks, with them, and with the indices of the proposals' anchors too."""


@register("Python", dialect="mnc", field="python_param", python=("pylayer.proposal_target_layer.ProposalTargetLayer",))
@dataclass(frozen=True)
class MncProposalTargetLayer(CascadeTargets):
    """Draws proposals at random, with the class of each, the codes that move it to its object, and that one's mask.

    The objects themselves are proposals too. A proposal is of its object's class if its overlap is in one of the ranges
    `fg_thresh_lo` to `fg_thresh_hi`, and background in one of `bg_thresh_lo` to `bg_thresh_hi`, with the limits. Of
    each range of objects at most its `fg_fraction` of `batch_size` are drawn, and of each range of background its
    `bg_fraction` of the rest. The codes of class c are columns 4 c to 4 c + 3. A mask is the part of the object inside
    the proposal. The settings are those of MNC's configuration: with three bottoms, those of its Faster R-CNN. They
    may be set in `param_str`. The regions pass the gradient on to the proposals.

    Shapes: regions (r, 5), objects (g, 5), of corners and class, image information (1, 3 or more), masks (g, h, w),
    their heights and widths (g, 2), and the indices of the proposals' anchors (1, r), to regions (k, 5), labels (k),
    codes, inside weights and outside weights (k, 4 num_classes), masks and their weights (k, 1, s, s), the matches
    (k, 12), of object, height and width of its mask, class, corners of the region and of the object before scaling, all
    -1 for background, and the indices of anchors of objects (f) and of background (b).

    >>> MncProposalTargetLayer(21).infer(((300, 5), (4, 5), (1, 3), (4, 90, 80), (4, 2), (1, 300)), 10)[5:]
    ((?, 1, 21, 21), (?, 1, 21, 21), (?, 12), (?,), (?,))

    Reference: `pylayer/proposal_target_layer.py` of MNC; Dai et al., Instance-aware Semantic Segmentation via
    Multi-task Network Cascades, 2016.
    """

    bp_all: bool = True
    """Whether regions of the background pass a gradient on, too."""
    batch_size: int = 64
    """Number of proposals (`BATCH_SIZE`)."""
    fg_fraction: tuple[float, ...] = (0.3,)
    """Largest part of them that are of objects, for each range of overlaps (`FG_FRACTION`)."""
    fg_thresh_lo: tuple[float, ...] = (0.5,)
    """Smallest overlap of each range (`FG_THRESH_LO`)."""
    fg_thresh_hi: tuple[float, ...] = (1.0,)
    """Largest overlap of each range (`FG_THRESH_HI`)."""
    bg_fraction: tuple[float, ...] = (0.85, 0.15)
    """Largest part of the others that are background, for each range of overlaps (`BG_FRACTION`)."""
    bg_thresh_lo: tuple[float, ...] = (0.1, 0.0)
    """Smallest overlap of each range of background (`BG_THRESH_LO`)."""
    bg_thresh_hi: tuple[float, ...] = (0.5, 0.1)
    """Largest overlap of each range of background (`BG_THRESH_HI`)."""

    bottom_count: ClassVar[Count] = Count(3, 6)
    top_count: ClassVar[Count] = Count(1, 10)
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 5)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `param_str` and the number of bottoms. Raises NetcError E103."""
        found = super().from_caffe(layer)
        if len(list(layer.get("bottom", ()))) != BOTTOMS[0]:
            return found
        given = param_values(layer.message("python_param")["param_str"])
        return dataclasses.replace(found, **{key: value for key, value in WITHOUT_MASKS.items() if key not in given})

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match each other or the tops, E103 for settings out of range."""
        self.check_targets()
        check_settings(self, "batch_size")
        self._check_ranges()
        check_rows(bottoms[0])
        check_objects(bottoms[1])
        check_info(bottoms[2], 1)
        if len(bottoms) not in BOTTOMS:
            fail(f"expected {', '.join(map(str, BOTTOMS))} bottoms, got {len(bottoms)}", field="bottom")
        codes, masks = (UNKNOWN, 4 * self.num_classes), (UNKNOWN, 1, self.mask_size, self.mask_size)
        shapes: Shapes = ((UNKNOWN, 5), (UNKNOWN,), codes, codes, codes)
        if len(bottoms) > 3:
            check_masks(bottoms[3], bottoms[4], bottoms[1][0])
            shapes = (*shapes, masks, masks, (UNKNOWN, OF_INFO))
        if len(bottoms) > 5:
            if differ(product(bottoms[5]), bottoms[0][0]):
                fail(f"expected the index of each region's anchor, got {text(bottoms[5])}", field="bottom")
            shapes = (*shapes, (UNKNOWN,), (UNKNOWN,))
        if tops > len(shapes):
            fail(f"{len(bottoms)} bottoms make at most {len(shapes)} tops, got {tops}", field="top")
        return shapes

    def _check_ranges(self) -> None:
        for kind in ("fg", "bg"):
            names = [f"{kind}_{name}" for name in ("fraction", "thresh_lo", "thresh_hi")]
            if len({len(getattr(self, name)) for name in names}) > 1:
                fail(f"expected as many values of {', '.join(names)}", code="E103", field="python_param.param_str")

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Fifteen operations per proposal and object."""
        return Cost(operations=15 * product(bottoms[0]) * bottoms[1][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The number of proposals depends on the data."""
        import torch

        proposals, (objects, info, *others) = bottoms[0].reshape(-1, 5), [bottom.detach() for bottom in bottoms[1:]]
        objects = objects.reshape(-1, 5)
        mode.check_range(objects[:, 4].trunc(), 0, self.num_classes, "class of an object")
        mode.check_range(proposals[:, 0].trunc(), 0, 1, "image of a region")
        regions = torch.cat((proposals, torch.nn.functional.pad(objects[:, :4], (1, 0))))
        given = GivenMasks(others[0], others[1].reshape(-1, 2)) if others else None
        most, nearest, objects, given = matched_with(regions[:, 1:].detach(), objects, given)
        positive, negative = self._drawn(most)
        chosen = torch.cat((positive, negative))
        row, is_object = nearest[chosen], torch.arange(len(chosen), device=chosen.device) < len(positive)
        regions = regions[chosen]
        matched = MatchedRegions(regions[:, 1:].detach(), row, objects[row], is_object)
        if not self.bp_all:
            regions = torch.where(is_object[:, None], regions, regions.detach())
        tops: tuple[Tensor, ...] = (regions, matched.labels, *self.codes(matched))
        if given is not None:
            tops = (*tops, *self.masks(matched, given, info.reshape(-1)[2]))
        if len(others) > 2:
            anchors = others[2].reshape(-1)
            tops = (*tops, *(anchors[rows[rows < len(proposals)]] for rows in (positive, negative)))
        return tops[: mode.tops]

    def _drawn(self, overlaps: Tensor) -> tuple[Tensor, Tensor]:
        """The proposals of objects and of background that are drawn, each kind in order."""
        positive = _some(overlaps, self.batch_size, self.fg_fraction, self.fg_thresh_lo, self.fg_thresh_hi)
        rest = self.batch_size - len(positive)
        return positive, _some(overlaps, rest, self.bg_fraction, self.bg_thresh_lo, self.bg_thresh_hi)


def _some(overlaps: Tensor, count: int, *ranges: tuple[float, ...]) -> Tensor:
    """The sorted indices of overlaps drawn from ranges, of each its part of `count`."""
    import torch

    from netc.functions.sampling import random_subset

    found = torch.zeros_like(overlaps, dtype=torch.bool)
    for part, low, high in zip(*ranges):
        found |= random_subset((overlaps >= low) & (overlaps <= high), max(round(count * part), 0))
    return found.nonzero()[:, 0]
