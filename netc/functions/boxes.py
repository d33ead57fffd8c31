"""Boxes given by two corners: overlaps, and codes relative to other boxes. Their suppression is in suppression.py.

A box is (x1, y1, x2, y2) along the last axis. SSD's boxes are fractions of the image, and a box extends from x1 to x2.
R-CNN's boxes are in pixels, and x2 is the last pixel of the box: its width is x2 - x1 + 1, here `inclusive`.
"""

from __future__ import annotations

import torch
from torch import Tensor

CORNER, CENTER_SIZE, CORNER_SIZE = "CORNER", "CENTER_SIZE", "CORNER_SIZE"
"""How SSD's codes describe a box relative to a prior box: differences of the corners; differences of the centers in
units of the prior's size, and logarithms of the ratios of the sizes; differences of the corners in those units."""


def areas(boxes: Tensor, inclusive: bool = False) -> Tensor:
    """Return the areas of boxes; an inverted box has none.

    >>> areas(torch.tensor([[0.0, 0.0, 2.0, 3.0], [2.0, 0.0, 0.0, 3.0]])), areas(torch.zeros(1, 4), inclusive=True)
    (tensor([6., 0.]), tensor([1.]))
    """
    extra = 1 if inclusive else 0
    sizes = boxes[..., 2:] - boxes[..., :2]
    inverted = (sizes < 0).any(-1)
    return ((sizes[..., 0] + extra) * (sizes[..., 1] + extra)).masked_fill(inverted, 0)


def intersections(first: Tensor, second: Tensor, inclusive: bool = False) -> Tensor:
    """Return the areas of the intersections of every box in `first` (..., n, 4) with every one in `second` (..., m, 4).

    >>> intersections(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 1.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]]))
    tensor([[1., 0.]])
    """
    a, b = first.unsqueeze(-2), second.unsqueeze(-3)
    sizes = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    sizes = (sizes + 1 if inclusive else sizes).clamp_min_(0)
    return sizes[..., 0] * sizes[..., 1]


def iou(first: Tensor, second: Tensor, inclusive: bool = False) -> Tensor:
    """Return the intersection over union of every box in `first` (..., n, 4) with every box in `second` (..., m, 4).

    Boxes that do not intersect have 0, also where both have no area.

    >>> iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 2.0, 2.0]]))
    tensor([[0.5000, 1.0000]])
    """
    common = intersections(first, second, inclusive)
    union = areas(first, inclusive).unsqueeze(-1) + areas(second, inclusive).unsqueeze(-2) - common
    return torch.where(common > 0, common / union, 0)


def clip(boxes: Tensor, width: float | Tensor = 1.0, height: float | Tensor = 1.0) -> Tensor:
    """Return the boxes with each coordinate clamped between 0 and `width` or `height`.

    R-CNN's limits are the last pixels, one less than the image's extents.

    >>> clip(torch.tensor([[-0.5, 0.2, 1.5, 0.8]]))
    tensor([[0.0000, 0.2000, 1.0000, 0.8000]])
    """
    limits = torch.stack([torch.as_tensor(v, dtype=boxes.dtype, device=boxes.device) for v in (width, height)] * 2)
    return torch.minimum(boxes, limits).clamp_min(0)


# ------------------------------------------------------------------ codes of SSD


def decode(codes: Tensor, priors: Tensor, variances: Tensor | None, code_type: str) -> Tensor:
    """Return the boxes that `codes` describe relative to `priors`.

    The codes are multiplied by `variances`; None if they contain them. See `encode` for the inverse.

    >>> decode(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 2.0, 4.0]]), None, CENTER_SIZE)
    tensor([[2., 0., 4., 4.]])
    """
    codes = codes if variances is None else codes * variances
    if code_type == CORNER:
        return priors + codes
    sizes = priors[..., 2:] - priors[..., :2]
    if code_type == CORNER_SIZE:
        return priors + codes * torch.cat((sizes, sizes), -1)
    centers = codes[..., :2] * sizes + _centers(priors)
    halves = codes[..., 2:].exp() * sizes / 2
    return torch.cat((centers - halves, centers + halves), -1)


def encode(boxes: Tensor, priors: Tensor, variances: Tensor | None, code_type: str) -> Tensor:
    """Return the codes of `boxes` relative to `priors`, divided by `variances`.

    >>> encode(torch.tensor([[2.0, 0.0, 4.0, 4.0]]), torch.tensor([[0.0, 0.0, 2.0, 4.0]]), None, CENTER_SIZE)
    tensor([[1., 0., 0., 0.]])
    """
    sizes = priors[..., 2:] - priors[..., :2]
    if code_type == CENTER_SIZE:
        moved = (_centers(boxes) - _centers(priors)) / sizes
        codes = torch.cat((moved, ((boxes[..., 2:] - boxes[..., :2]) / sizes).log()), -1)
    else:
        codes = boxes - priors
        codes = codes / torch.cat((sizes, sizes), -1) if code_type == CORNER_SIZE else codes
    return codes if variances is None else codes / variances


def _centers(boxes: Tensor) -> Tensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


# ------------------------------------------------------------------ codes of R-CNN


def deltas(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return R-CNN's codes of `boxes` relative to `anchors`: CENTER_SIZE of inclusive boxes.

    >>> deltas(torch.tensor([[2.0, 0.0, 3.0, 3.0]]), torch.tensor([[0.0, 0.0, 1.0, 3.0]]))
    tensor([[1., 0., 0., 0.]])
    """
    return encode(_exclusive(boxes), _exclusive(anchors), None, CENTER_SIZE)


def apply_deltas(anchors: Tensor, codes: Tensor) -> Tensor:
    """Return the boxes of R-CNN's codes (n, 4 k) relative to anchors (n, 4), in the shape of the codes.

    As in the original code, x2 and y2 are not moved back by the pixel that the size includes.

    >>> apply_deltas(torch.tensor([[0.0, 0.0, 1.0, 3.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    tensor([[2., 0., 4., 4.]])
    """
    groups = codes.reshape(*codes.shape[:-1], codes.shape[-1] // 4, 4)  # -1 is ambiguous without boxes
    return decode(groups, _exclusive(anchors).unsqueeze(-2), None, CENTER_SIZE).reshape(codes.shape)


def _exclusive(boxes: Tensor) -> Tensor:
    """Return inclusive boxes with their right and lower edges one pixel further."""
    return torch.cat((boxes[..., :2], boxes[..., 2:] + 1), -1)
