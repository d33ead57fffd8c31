"""Gaussian filtering of high-dimensional features on a permutohedral lattice.

    lattice = PermutohedralLattice(features)    # (points, dimensions), standard deviation 1
    lattice.filter(values)                      # (channels, points) to the same

Adams, Baek, Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice, 2010; as in the dense CRF of
Krähenbühl and Koltun, 2011. Each point lies in a simplex of d + 1 lattice vertices: its value is distributed to them by
its barycentric coordinates (splat), vertices are blurred along each of d + 1 directions, and the points read the result
(slice). Building a lattice reads the number of vertices from the device.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 4
"""The forks process so many points at once, and fill the last block with points at 0, whose vertices are in the
lattice too."""


class PermutohedralLattice:
    """The lattice of some points."""

    def __init__(self, features: Tensor) -> None:
        points, dimensions = features.shape
        filled = torch.nn.functional.pad(features.detach().float(), (0, 0, 0, -points % BLOCK))
        elevated = _elevated(filled)
        origin, rank = _simplex(elevated)
        weights = _barycentric(elevated - origin, rank)
        keys = _vertices(origin, rank)
        self.dimensions = dimensions
        codes, steps = _coded(keys.reshape(-1, dimensions))
        unique, place = torch.unique(codes, return_inverse=True)
        self.vertices = len(unique)
        self.place = (place + 1).view(-1, dimensions + 1)[:points]
        """The number of each vertex of each point's simplex, starting from 1."""
        self.weight = weights[:points]
        """The barycentric coordinates."""
        self.neighbors = [(_place(unique, unique - step), _place(unique, unique + step)) for step in steps]
        """For each direction the numbers of both neighbors of each vertex; 0 if there is none."""

    def filter(self, values: Tensor) -> Tensor:
        """Filter (channels, points); the derivative is the transposed filter."""
        result: Tensor = _Filter.apply(values, self)  # type: ignore[no-untyped-call]
        return result

    def _filter(self, values: Tensor, reverse: bool) -> Tensor:
        """Rows of vertices and points are contiguous, one element per channel."""
        weight, rows = self.weight.to(values.dtype), values.t().contiguous()
        held = rows.new_zeros(self.vertices + 1, rows.shape[1])
        for corner in range(self.dimensions + 1):
            held.index_add_(0, self.place[:, corner], rows * weight[:, corner, None])
        for one, other in reversed(self.neighbors) if reverse else self.neighbors:
            held[1:] += (held.index_select(0, one) + held.index_select(0, other)) * 0.5
        read = torch.zeros_like(rows)
        for corner in range(self.dimensions + 1):
            read += held.index_select(0, self.place[:, corner]) * weight[:, corner, None]
        return read.t() * (1 / (1 + 2.0**-self.dimensions))


class _Filter(torch.autograd.Function):
    """The filter, whose transpose blurs in the opposite order."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: PermutohedralLattice) -> Tensor:
        ctx.lattice = lattice
        return lattice._filter(values, reverse=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.lattice._filter(gradient, reverse=True), None


def _elevated(features: Tensor) -> Tensor:
    """The points on the hyperplane of d + 1 coordinates with sum 0, scaled so that blurring has a deviation of 1."""
    dimensions = features.shape[1]
    deviation = math.sqrt(2 / 3) * (dimensions + 1)
    scale = [1 / math.sqrt((i + 1) * (i + 2)) * deviation for i in range(dimensions)]
    scaled = features * features.new_tensor(scale)
    later = scaled.flip(1).cumsum(1).flip(1)
    later = torch.nn.functional.pad(later, (0, 1))
    steps = torch.arange(dimensions + 1, device=features.device)
    return later - steps * torch.nn.functional.pad(scaled, (1, 0))


def _simplex(elevated: Tensor) -> tuple[Tensor, Tensor]:
    """The vertex of remainder 0 of each point's simplex, and the rank of each coordinate's distance from it."""
    corners = elevated.shape[1]
    rounded = (elevated * (1 / corners)).round()
    origin, excess = rounded * corners, rounded.sum(1, keepdim=True)
    distance = elevated - origin
    one, other = distance.unsqueeze(2), distance.unsqueeze(1)
    order = torch.arange(corners, device=elevated.device)
    first = order.view(-1, 1) > order  # of equal distances that of the first coordinate ranks first
    rank = ((other > one) | ((other == one) & first)).sum(2) + excess
    moved = torch.where(rank < 0, corners, 0) - torch.where(rank >= corners, corners, 0)
    return origin + moved, (rank + moved).long()


def _barycentric(distance: Tensor, rank: Tensor) -> Tensor:
    """The weights of the d + 1 vertices, from sorted distances."""
    corners = distance.shape[1]
    share = distance * (1 / corners)
    at = torch.zeros(len(distance), corners + 1, dtype=distance.dtype, device=distance.device)
    at = at.scatter_add(1, corners - 1 - rank, share).scatter_add(1, corners - rank, -share)
    return torch.cat([at[:, :1] + at[:, corners:] + 1, at[:, 1:corners]], 1)


def _vertices(origin: Tensor, rank: Tensor) -> Tensor:
    """The first d coordinates of each vertex, with shape (points, d + 1, d)."""
    corners = origin.shape[1]
    remainder = torch.arange(corners, device=origin.device).view(1, -1, 1)
    step = torch.where(rank[:, None, :-1] < corners - remainder, remainder, remainder - corners)
    return origin[:, None, :-1].long() + step


def _coded(keys: Tensor) -> tuple[Tensor, list[Tensor]]:
    """One number for each vertex, and the difference of the numbers of neighbors in each direction."""
    dimensions = keys.shape[1]
    low = keys.amin(0) - dimensions
    span = keys.amax(0) + dimensions + 1 - low
    factors = torch.cat([span.flip(0).cumprod(0).flip(0)[1:], span.new_ones(1)])
    steps = [factors.sum() - (dimensions + 1) * factors[direction] for direction in range(dimensions)]
    return ((keys - low) * factors).sum(1), [*steps, factors.sum()]


def _place(codes: Tensor, wanted: Tensor) -> Tensor:
    """The number of each wanted code, 0 if there is none."""
    at = torch.searchsorted(codes, wanted).clamp(max=len(codes) - 1)
    return torch.where(codes[at] == wanted, at + 1, 0)
