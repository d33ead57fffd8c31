"""Region proposals of Faster R-CNN: anchors at each position, moved by predicted codes, and suppressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netc.functions.boxes import apply_deltas, clip
from netc.functions.suppression import nms

if TYPE_CHECKING:
    from collections.abc import Sequence


def anchors_at(base: Sequence[Sequence[float]], stride: int, height: int, width: int, like: Tensor) -> Tensor:
    """Anchors (height * width * a, 4), in the order of rows, columns and `base` anchors."""
    boxes = like.new_tensor(base)
    x, y = (torch.arange(extent, dtype=like.dtype, device=like.device) * stride for extent in (width, height))
    y, x = torch.meshgrid(y, x, indexing="ij")
    shifts = torch.stack((x, y, x, y), -1).reshape(-1, 1, 4)
    return (shifts + boxes).reshape(-1, 4)


def by_position(maps: Tensor, columns: int) -> Tensor:
    """Maps (a * columns, h, w) as rows (h * w * a, columns), in the order of `anchors_at`."""
    return maps.permute(1, 2, 0).reshape(-1, columns)


@dataclass(frozen=True)
class Limits:
    """How many proposals are kept of an image."""

    before: int
    """Proposals with the highest scores that take part in suppression; 0 means all."""
    after: int
    """Proposals that are kept; 0 means all."""
    overlap: float
    """Proposals that overlap a better one by more are dropped."""
    drop_small: bool
    """Whether boxes below the smallest size are dropped; otherwise their score becomes 0."""
    clipped: bool = True
    """Whether boxes are clipped to the image."""


def propose(
    anchors: Tensor, codes: Tensor, scores: Tensor, size: Tensor, smallest: Tensor, limits: Limits
) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes (k, 4), scores (k) and the index of the anchor (k) of each box of one image.

    `size` and `smallest` are the height and width of the image, and of the smallest box. Boxes with a score of NaN are
    dropped.
    """
    boxes = apply_deltas(anchors, codes)
    boxes = clip(boxes, size[1] - 1, size[0] - 1) if limits.clipped else boxes
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    large = (sides >= smallest.flip(0)).all(1)
    rows = None
    if limits.drop_small:
        rows = (large & ~scores.isnan()).nonzero()[:, 0]
        boxes, scores = boxes[rows], scores[rows]
    else:
        scores = (scores * large).nan_to_num(-torch.inf)
    order = scores.argsort(descending=True, stable=True)[: limits.before or None]
    boxes, scores = boxes[order], scores[order]
    kept = nms(boxes, scores, limits.overlap, limit=limits.after or None, inclusive=True)
    order = order[kept]
    return boxes[kept], scores[kept], order if rows is None else rows[order]
