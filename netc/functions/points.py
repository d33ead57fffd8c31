"""Bilinear samples of images at points."""

from __future__ import annotations

import torch
from torch import Tensor


def sampled(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Samples (..., c, m) of images (..., c, h, w) at rows y and columns x (..., m).

    Points outside 0 <= y < h and 0 <= x < w give 0; those beyond the last row or column are as on it. The derivative at
    a whole number is that to its right.

    >>> sampled(torch.tensor([[[1.0, 2.0, 4.0]]]), torch.zeros(3), torch.tensor([0.5, 2.5, -0.1]))
    tensor([[1.5000, 4.0000, 0.0000]])
    """
    height, width = images.shape[-2:]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    (top, bottom, down), (left, right, across) = _sides(y, inside, height), _sides(x, inside, width)
    values = images.flatten(-2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        index = (row * width + column).unsqueeze(-2)
        return values.gather(-1, index.expand(*values.shape[:-1], index.shape[-1]))

    across, down = across.unsqueeze(-2), down.unsqueeze(-2)
    above = at(top, left) * (1 - across) + at(top, right) * across
    below = at(bottom, left) * (1 - across) + at(bottom, right) * across
    return (above * (1 - down) + below * down) * inside.unsqueeze(-2)


def _sides(place: Tensor, inside: Tensor, extent: int) -> tuple[Tensor, Tensor, Tensor]:
    """The elements on both sides of each point, and the part of the second."""
    place = torch.where(inside, place, 0).clamp(max=extent - 1)
    low = place.detach().floor()
    return low.long(), (low + 1).clamp(max=extent - 1).long(), place - low
