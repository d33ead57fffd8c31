"""The targets of proposals: Faster R-CNN's ProposalTargetLayer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import UNKNOWN, product
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._python_replacement import PythonReplacement
from netc.layers._registry import register
from netc.layers.detection._regions import check_rows
from netc.layers.detection.anchor_target import check_objects
from netc.layers.detection.proposal import check_settings

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "Python", dialect="fast_rcnn", field="python_param", python=("rpn.proposal_target_layer.ProposalTargetLayer",)
)
@dataclass(frozen=True)
class ProposalTargetLayer(PythonReplacement):
    """Draws proposals at random, with the class of each and the codes that move it to its object.

    The objects themselves are proposals too. A proposal is of its object's class if it overlaps that by `fg_thresh`,
    and background if its overlap is from `bg_thresh_lo` to below `bg_thresh_hi`. Of `batch_size` proposals at most
    `fg_fraction` are of objects; there are fewer where an image lacks them. The codes of class c are columns 4 c to
    4 c + 3, normalized by `bbox_normalize_means` and `bbox_normalize_stds`. The settings are those of py-faster-rcnn's
    configuration for end-to-end training and may be set in `param_str`.

    Shapes: regions (r, 5) and objects (g, 5), of corners and class, to regions (k, 5), labels (k), codes, inside
    weights and outside weights (k, 4 num_classes), first those of objects.

    >>> ProposalTargetLayer(21).infer(((2000, 5), (4, 5)), 5)
    ((?, 5), (?,), (?, 84), (?, 84), (?, 84))

    Reference: `rpn/proposal_target_layer.py` of py-faster-rcnn; Ren et al., Faster R-CNN, 2015.
    """

    num_classes: int = 0
    """Number of classes, with the background, which is class 0."""
    batch_size: int = 128
    """Number of proposals (`BATCH_SIZE`)."""
    fg_fraction: float = 0.25
    """Largest part of them that are of objects (`FG_FRACTION`)."""
    fg_thresh: float = 0.5
    """Overlap from which a proposal is of its object's class (`FG_THRESH`)."""
    bg_thresh_hi: float = 0.5
    """Overlap below which a proposal may be background (`BG_THRESH_HI`)."""
    bg_thresh_lo: float = 0.0
    """Smallest overlap of background (`BG_THRESH_LO`, which end-to-end training sets to 0)."""
    bbox_inside_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    """Inside weights of an object's codes (`BBOX_INSIDE_WEIGHTS`)."""
    bbox_normalize_means: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """Subtracted from codes (`BBOX_NORMALIZE_MEANS`)."""
    bbox_normalize_stds: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    """Divisors of codes (`BBOX_NORMALIZE_STDS`)."""

    bottom_count: ClassVar[Count] = Count(2)
    top_count: ClassVar[Count] = Count(1, 5)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match, E103 for settings out of range."""
        check_settings(self, "num_classes", "batch_size", "bbox_normalize_stds")
        for name in ("bbox_inside_weights", "bbox_normalize_means", "bbox_normalize_stds"):
            if len(getattr(self, name)) != 4:
                fail(f"expected 4 values of `{name}`", code="E103", field="python_param.param_str")
        check_rows(bottoms[0])
        check_objects(bottoms[1])
        codes = (UNKNOWN, 4 * self.num_classes)
        return ((UNKNOWN, 5), (UNKNOWN,), codes, codes, codes)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Fifteen operations per proposal and object."""
        return Cost(operations=15 * product(bottoms[0]) * bottoms[1][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The number of proposals depends on the data."""
        return self.rows(bottoms, mode)[: mode.tops]

    def rows(self, bottoms: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The tops, a row for each proposal that is drawn."""
        import torch

        from netc.functions.boxes import deltas, iou

        objects = bottoms[1].detach().reshape(-1, 5)
        mode.check_range(objects[:, 4].trunc(), 0, self.num_classes, "class of an object")
        regions = torch.cat((bottoms[0].detach().reshape(-1, 5), torch.nn.functional.pad(objects[:, :4], (1, 0))))
        mode.check_range(regions[:, 0].trunc(), 0, 1, "image of a region")
        if not objects.shape[0]:
            objects = regions.new_tensor([[0.0, 0.0, -1.0, -1.0, 0.0]])
        overlaps, nearest = iou(regions[:, 1:].double(), objects[:, :4].double(), inclusive=True).max(1)
        chosen, positives = self._drawn(overlaps)
        regions, of = regions[chosen], objects[nearest[chosen]]
        labels = of[:, 4].clone()
        labels[positives:] = 0
        codes = deltas(of[:positives, :4].double(), regions[:positives, 1:].double())
        return (regions, labels, *self._expanded(codes, labels, regions))

    def _drawn(self, overlaps: Tensor) -> tuple[Tensor, int]:
        """The proposals that are drawn, those of objects first, and their number."""
        import torch

        positive = (overlaps >= self.fg_thresh).nonzero()[:, 0]
        negative = ((overlaps < self.bg_thresh_hi) & (overlaps >= self.bg_thresh_lo)).nonzero()[:, 0]
        positive = _some(positive, round(self.fg_fraction * self.batch_size))
        negative = _some(negative, self.batch_size - positive.shape[0])
        return torch.cat((positive, negative)), positive.shape[0]

    def _expanded(self, codes: Tensor, labels: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, inside weights and outside weights in the columns of each proposal's class."""
        means, stds = codes.new_tensor(self.bbox_normalize_means), codes.new_tensor(self.bbox_normalize_stds)
        found, inside = (like.new_zeros(like.shape[0], self.num_classes, 4) for _ in range(2))
        rows = labels[: codes.shape[0]].long().clamp(0, self.num_classes - 1)
        at = (rows.new_tensor(range(codes.shape[0])), rows)
        found[at] = ((codes - means) / stds).to(like)
        inside[at] = like.new_tensor(self.bbox_inside_weights)
        inside[:, 0], found[:, 0] = 0, 0
        flat = inside.flatten(1)
        return found.flatten(1), flat, (flat > 0).to(like)


def _some(candidates: Tensor, count: int) -> Tensor:
    from netc.functions.sampling import random_order

    return candidates[random_order(candidates.shape[0], candidates.device, max(count, 0))]
