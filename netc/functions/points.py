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


def sampled_grids(images: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Samples (r, c, k, l) of images (n, c, h, w) at grids: of `image` (r), at rows y (r, k) and columns x (r, l).

    Points more than half an element outside an image give 0; those closer are as on its edge.
    """
    height, width = images.shape[2:]
    channels_last = images.permute(0, 2, 3, 1)
    (rows, vertical), (columns, horizontal) = _of_axis(y, height), _of_axis(x, width)
    index = image[:, None, None]
    parts = [
        channels_last[index, row[:, :, None], column[:, None]] * (down[:, :, None] * across[:, None]).unsqueeze(-1)
        for row, down in zip(rows, vertical)
        for column, across in zip(columns, horizontal)
    ]
    return sum(parts[1:], parts[0]).permute(0, 3, 1, 2)


def _of_axis(place: Tensor, extent: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The elements on both sides of each point, and the part of each, 0 outside."""
    inside = (place >= -0.5) & (place <= extent - 0.5)
    low, high, part = _sides(place.clamp(min=0), inside, extent)
    return (low, high), ((1 - part) * inside, part * inside)
