"""Bilinear samples of images at the points of a grid over each region, with the gradients of MNC's ROIWarping."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Axis(NamedTuple):
    """The samples of r regions along one axis of an image."""

    start: Tensor
    """(r): where regions begin, a whole number."""
    end: Tensor
    """(r): where they end, a whole number."""
    samples: int
    """Their number k."""
    extent: int
    """Extent of the image."""

    @property
    def places(self) -> Tensor:
        """(r, k): where the samples are."""
        size = (self.end - self.start).clamp(min=0) / self.samples
        return self.start[:, None] + torch.arange(self.samples, device=size.device) * size[:, None]

    @property
    def inside(self) -> Tensor:
        """(r, k): whether a sample is in the image, up to half an element beyond its edge."""
        return (self.places >= -0.5) & (self.places <= self.extent - 0.5)

    @property
    def clamped(self) -> Tensor:
        """(r, k): the places, within the image."""
        return self.places.clamp(0, self.extent - 1)

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """(r, k) thrice: the elements on both sides of each sample, and the part of the second."""
        place = self.clamped
        low = place.long()
        return low, (low + 1).clamp(max=self.extent - 1), place - low

    def weights(self) -> Tensor:
        """(r, k, extent): the part of each element in each sample, 0 where the fork's gradient leaves it out.

        It looks for the samples of an element as if a region were one element longer, and misses the last ones.
        """
        low, high, part = self.parts()
        rows = part.new_zeros(*part.shape, self.extent)
        rows.scatter_add_(2, low[..., None], (1 - part)[..., None]).scatter_add_(2, high[..., None], part[..., None])
        element = torch.arange(self.extent, device=part.device)
        from_start = element - self.start[:, None]
        size = (self.end - self.start + 1).clamp(min=1)[:, None] / self.samples
        first, last = ((from_start - 1) / size - 1).floor(), ((from_start + 1) / size).ceil()
        sample = torch.arange(self.samples, device=part.device)[:, None]
        seen = (sample >= first[:, None]) & (sample < last[:, None])
        in_region = (element >= self.start[:, None]) & (element <= self.end[:, None])
        return rows * (seen & in_region[:, None]) * self.inside[..., None]

    def ratio(self) -> Tensor:
        """(r, k): where in the region a sample is, from 0 to 1; the fork divides by one element more."""
        return (self.clamped - self.start[:, None]) / (self.end - self.start + 1).clamp(min=1)[:, None]


class RegionSamples(torch.autograd.Function):
    """`RegionSamples.apply(x, regions, scale, rows, columns)`: images (n, c, h, w) and regions (r, 5) to (r, c, k, l).

    `rows` and `columns` are the regions' samples. Samples outside the image are 0. The gradient of regions is that of
    their corners, times `scale`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, regions: Tensor, scale: float, rows: Axis, columns: Axis) -> Tensor:
        """The samples."""
        ctx.scale, ctx.rows, ctx.columns = scale, rows, columns
        ctx.save_for_backward(x, regions)
        corners = SampleCorners(x, _images(regions, x), rows, columns)
        found = corners.at(0, 0) * corners.weight(0, 0)
        for i, j in ((0, 1), (1, 0), (1, 1)):
            found += corners.at(i, j) * corners.weight(i, j)
        return found.permute(0, 3, 1, 2).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, top_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x and of the regions."""
        x, regions = ctx.saved_tensors
        image, of_x, of_regions = _images(regions, x), None, None
        if ctx.needs_input_grad[0]:
            rows, columns = ctx.rows.weights(), ctx.columns.weights()
            each = torch.einsum("rckl,rky->rcly", top_gradient, rows)
            of_x = torch.stack(
                [torch.einsum("rcly,rlx->cyx", each, columns * (image == i)[:, None, None]) for i in range(len(x))]
            )
        if ctx.needs_input_grad[1]:
            of_regions = _of_regions(SampleCorners(x, image, ctx.rows, ctx.columns), top_gradient) * ctx.scale
            of_regions = of_regions.to(regions).reshape(regions.shape)
        return of_x, of_regions, None, None, None


class SampleCorners:
    """The four elements around each sample, channels last."""

    def __init__(self, x: Tensor, image: Tensor, rows: Axis, columns: Axis) -> None:
        self.rows, self.columns, self.image = rows, columns, image
        self._values = x.permute(0, 2, 3, 1).contiguous()
        self._places = rows.parts(), columns.parts()
        self.inside = rows.inside[:, :, None] & columns.inside[:, None]

    def at(self, i: int, j: int) -> Tensor:
        """(r, k, l, c): the elements of one corner."""
        row, column = self._places[0][i], self._places[1][j]
        return self._values[self.image[:, None, None], row[:, :, None], column[:, None]]

    def weight(self, i: int, j: int) -> Tensor:
        """(r, k, l, 1): their part in the sample."""
        row, column = (part if side else 1 - part for (_, _, part), side in zip(self._places, (i, j)))
        return (row[:, :, None] * column[:, None] * self.inside)[..., None]

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        """(r, k, 1) and (r, 1, l): the part of the second row and column in each sample."""
        return self._places[0][2][:, :, None], self._places[1][2][:, None]


def _of_regions(corners: SampleCorners, top_gradient: Tensor) -> Tensor:
    """(r, 5): the gradient of the corners of regions; 0 for samples at the last row or column."""
    rows, columns = corners.rows, corners.columns
    sent = top_gradient.permute(0, 2, 3, 1)
    sums = [[(corners.at(i, j) * sent).sum(3) for j in (0, 1)] for i in (0, 1)]
    low, right = corners.parts
    across = (1 - low) * (sums[0][1] - sums[0][0]) + low * (sums[1][1] - sums[1][0])
    down = (1 - right) * (sums[1][0] - sums[0][0]) + right * (sums[1][1] - sums[0][1])
    between = (rows.clamped < rows.extent - 1)[:, :, None] & (columns.clamped < columns.extent - 1)[:, None]
    used = between & corners.inside
    found = [torch.zeros_like(across[:, 0, 0])]
    x, y = columns.ratio()[:, None], rows.ratio()[:, :, None]
    for each in (across * (1 - x), down * (1 - y), across * x, down * y):
        found.append(torch.where(used, each, 0).sum((1, 2)))
    return torch.stack(found, 1)


def _images(regions: Tensor, x: Tensor) -> Tensor:
    """(r): the image of each region."""
    return regions.reshape(-1, 5)[:, 0].long().clamp(0, max(len(x) - 1, 0))
