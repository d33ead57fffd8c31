"""Averages of bilinear samples of regions: what RoIAlign of Caffe2 computes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


def region_averages(images: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Means (r, ph, pw, c) of the samples of `images` (n, h, w, c) at rows y and columns x (r, ph, pw, k).

    `image` (r) is the image of each region. Points more than one element outside an image are 0, those closer are as on
    its edge. The mean of no samples is NaN.

    >>> image = torch.tensor([[[[1.0], [3.0]]]])
    >>> point = torch.zeros(1, 1, 1, 2)
    >>> region_averages(image, torch.tensor([0]), point, point + torch.tensor([0.5, 2.0])).flatten()
    tensor([2.5000])
    """
    _, height, width, channels = images.shape
    samples = y.shape[-1]
    if not samples:
        return images.new_full((*y.shape[:-1], channels), torch.nan)
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    (top, bottom, down), (left, right, across) = _sides(y, inside, height), _sides(x, inside, width)
    first = image.view(-1, 1, 1, 1) * height
    above, below = (first + top) * width, (first + bottom) * width
    places = torch.stack((above + left, above + right, below + left, below + right), -1)
    up, before = 1 - down, 1 - across
    parts = torch.stack((up * before, up * across, down * before, down * across), -1) * inside.unsqueeze(-1)
    # one row of memory per corner of a sample; the sum of a bin's rows is one call
    rows = (y.shape[:-1].numel(), 4 * samples)
    sums = embedding_bag(
        places.reshape(rows),
        images.reshape(-1, channels),
        mode="sum",
        per_sample_weights=parts.to(images.dtype).reshape(rows),
    )
    return sums.view(*y.shape[:-1], channels) / samples


def _sides(place: Tensor, inside: Tensor, extent: int) -> tuple[Tensor, Tensor, Tensor]:
    """The elements on both sides of each point, and the part of the second."""
    place = torch.where(inside, place, 0).clamp(0, extent - 1)
    low = place.floor()
    return low.long(), (low + 1).clamp(max=extent - 1).long(), place - low
