"""What the stages of MNC's cascade learn: the codes and masks of regions that are matched with objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import fail
from netc.layers._python_replacement import PythonReplacement
from netc.layers.detection.proposal import check_settings

if TYPE_CHECKING:
    from torch import Tensor

OF_INFO = 12
"""Numbers of a region's match: its object, height and width of that one's mask, its class, and the corners of both."""


class MatchedRegions(NamedTuple):
    """Regions, and the object that each overlaps most."""

    corners: Tensor
    """(k, 4): the regions."""
    row: Tensor
    """(k): the index of its object."""
    objects: Tensor
    """(k, 5): that object."""
    is_object: Tensor
    """(k): whether the region is one of its object's class."""

    @property
    def labels(self) -> Tensor:
        """(k): the class of each region, 0 for background."""
        return self.objects[:, 4].masked_fill(~self.is_object, 0)


class GivenMasks(NamedTuple):
    """The masks of all objects."""

    masks: Tensor
    """(g, h, w), in pixels of the image before it was scaled."""
    sizes: Tensor
    """(g, 2): height and width of each mask."""


@dataclass(frozen=True)
class CascadeTargets(PythonReplacement):
    """Base of the layers that say what a stage learns."""

    num_classes: int = 0
    """Number of classes, with the background, which is class 0."""
    bbox_inside_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    """Inside weights of an object's codes (`BBOX_INSIDE_WEIGHTS`)."""
    bbox_normalize_means: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """Subtracted from codes (`BBOX_NORMALIZE_MEANS`)."""
    bbox_normalize_stds: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    """Divisors of codes (`BBOX_NORMALIZE_STDS`)."""
    mask_size: int = 21
    """Height and width of a mask (`MASK_SIZE`)."""
    binarize_thresh: float = 0.4
    """Part of a pixel from which it belongs to a mask (`BINARIZE_THRESH`)."""

    def check_targets(self) -> None:
        """Raises NetcError E103 for settings out of range."""
        check_settings(self, "num_classes", "bbox_normalize_stds", "mask_size")
        for name in ("bbox_inside_weights", "bbox_normalize_means", "bbox_normalize_stds"):
            if len(getattr(self, name)) != 4:
                fail(f"expected 4 values of `{name}`", code="E103", field="python_param.param_str")

    def codes(self, matched: MatchedRegions) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, inside weights and outside weights (k, 4 classes), in the columns of each region's class."""
        from netc.functions.boxes import deltas

        regions, labels = matched.corners, matched.labels
        codes = deltas(matched.objects[:, :4].double(), regions.double())
        codes = (codes - codes.new_tensor(self.bbox_normalize_means)) / codes.new_tensor(self.bbox_normalize_stds)
        classes = labels.new_tensor(range(self.num_classes))
        own = ((labels[:, None].trunc() == classes) & (labels[:, None] > 0))[:, :, None]
        targets = own.to(regions) * codes.to(regions).nan_to_num()[:, None]
        inside = (own * regions.new_tensor(self.bbox_inside_weights)).flatten(1)
        return targets.flatten(1), inside, (inside > 0).to(regions)

    def masks(self, matched: MatchedRegions, given: GivenMasks, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Masks and their weights (k, 1, s, s), and what is known of the matches (k, 12); -1 for background."""
        import torch

        from netc.functions.region_masks import ObjectMasks, masks_in_boxes

        regions, side = matched.corners, self.mask_size
        boxes, found = ((corners / scale).round() for corners in (regions, matched.objects[:, :4]))
        sizes = given.sizes[matched.row]
        objects = ObjectMasks(given.masks, matched.row, sizes, found)
        masks = masks_in_boxes(objects, boxes, side, self.binarize_thresh)
        columns = (matched.row[:, None].to(regions), sizes.to(regions), matched.labels[:, None], boxes, found)
        positive = matched.is_object
        info = torch.cat(columns, 1).masked_fill(~positive[:, None], -1)
        weights = positive[:, None, None, None].expand(-1, 1, side, side)
        return (masks[:, None] & weights).to(regions), weights.to(regions), info


def matched_with(
    corners: Tensor, objects: Tensor, given: GivenMasks | None
) -> tuple[Tensor, Tensor, Tensor, GivenMasks | None]:
    """The greatest overlap (k) of regions with an object, that object (k), and objects and masks, at least one.

    Without objects there is one that nothing overlaps.
    """
    from netc.functions.boxes import iou

    if not objects.shape[0]:
        objects = objects.new_tensor([[0.0, 0.0, -1.0, -1.0, 0.0]])
        given = given and GivenMasks(given.masks.new_zeros(1, 1, 1), given.sizes.new_zeros(1, 2))
    elif given is not None and not given.masks.numel():
        given = GivenMasks(given.masks.new_zeros(objects.shape[0], 1, 1), given.sizes * 0)
    most, nearest = iou(corners.double(), objects[:, :4].double(), inclusive=True).max(1)
    return most, nearest, objects, given


def check_masks(masks: Shape, sizes: Shape, objects: int) -> None:
    """Raises NetcError E102 unless there are a mask and its height and width for each object."""
    if len(masks) != 3 or differ(masks[0], objects):
        fail(f"expected a mask of each object, (objects, height, width), got {text(masks)}", field="bottom")
    if not sizes or differ(sizes[0], objects) or differ(product(sizes[1:]), 2):
        fail(f"expected the height and width of each object's mask, got {text(sizes)}", field="bottom")
