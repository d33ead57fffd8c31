"""Boxes that predicted codes moved, with the gradients of MNC's Python layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def within(boxes: Tensor, size: Tensor) -> Tensor:
    """(k): whether boxes (k, 4) lie in an image of this height and width."""
    return (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= size[[1, 0]] - 1).all(1)


def _clipped(gradient: Tensor, limit: float | None) -> Tensor:
    return gradient if limit is None else gradient.clamp(-limit, limit)


class MovedAnchors(torch.autograd.Function):
    """`MovedAnchors.apply(codes, boxes, anchors, used, limit)`: `boxes` (k, 4), which `codes` (k, 4) made of `anchors`.

    The gradient of the codes is that of centers and logarithms of sides; 0 where a box is not `used`, and not greater
    than `limit`.
    """

    @staticmethod
    def forward(ctx: Any, codes: Tensor, boxes: Tensor, anchors: Tensor, used: Tensor, limit: float | None) -> Tensor:
        """The boxes."""
        ctx.limit = limit
        ctx.save_for_backward(codes, anchors, used)
        return boxes.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of the codes."""
        codes, anchors, used = ctx.saved_tensors
        sides = anchors[:, 2:] - anchors[:, :2]
        of_center = (top_gradient[:, :2] + top_gradient[:, 2:]) * sides
        of_side = (top_gradient[:, 2:] - top_gradient[:, :2]) / 2 * codes[:, 2:].exp() * sides
        found = torch.cat((of_center, of_side), 1) * used[:, None]
        return _clipped(found, ctx.limit), None, None, None, None


class MovedRegions(torch.autograd.Function):
    """`MovedRegions.apply(regions, codes, boxes, used, limit)`: `boxes` (n, 4), which `codes` (n, 4) made of regions.

    Its gradient is the fork's: it takes the top's as that of x, y, width and height, and y1 and x2 - x1 of a region as
    its width and height. That of the codes is 0 where a box is not `used`, and not greater than `limit`.
    """

    @staticmethod
    def forward(ctx: Any, regions: Tensor, codes: Tensor, boxes: Tensor, used: Tensor, limit: float | None) -> Tensor:
        """The boxes."""
        ctx.limit = limit
        ctx.save_for_backward(regions, codes, used)
        return boxes.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of regions (n, 5) and of the codes."""
        regions, codes, used = ctx.saved_tensors
        sides = regions[:, 2:4] - regions[:, :2]
        of_place, of_size = top_gradient[:, :2], top_gradient[:, 2:]
        growth = codes[:, 2:].exp()
        of_regions = torch.cat((torch.zeros_like(regions[:, :1]), of_place, of_size * (codes[:, :2] + growth)), 1)
        of_codes = torch.cat((of_place * sides, of_size * growth * sides), 1) * used[:, None]
        return of_regions, _clipped(of_codes, ctx.limit), None, None, None
