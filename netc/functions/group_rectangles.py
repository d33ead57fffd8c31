"""Clusters of similar rectangles, as OpenCV's groupRectangles (`cascadedetect.cpp`)."""

from __future__ import annotations

import torch
from torch import Tensor

FEW = 3
"""Clusters of fewer rectangles are dropped within any larger one."""


def group_rectangles(rectangles: Tensor, threshold: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return the means (m, 4) of clusters of more than `threshold` integer rectangles (k, 4), and their sizes (m).

    A rectangle is x, y, width, height. Two are similar if no side differs by more than `eps` times the mean of their
    smaller width and height; a cluster is everything that is connected by similar rectangles. Clusters within larger
    ones are dropped. Without a positive threshold every rectangle is returned.
    """
    ones = torch.ones(len(rectangles), dtype=torch.int64, device=rectangles.device)
    if threshold <= 0 or not len(rectangles):
        return rectangles, ones
    clusters = _connected(_similar(rectangles.double(), eps))
    count = int(clusters.max()) + 1
    sizes = ones.new_zeros(count).index_add_(0, clusters, ones)
    sums = rectangles.new_zeros((count, 4)).index_add_(0, clusters, rectangles)
    means = (sums.float() * (1 / sizes.float())[:, None]).round().long()
    kept = (sizes > threshold) & ~_within_larger(means, sizes, threshold, eps)
    return means[kept], sizes[kept]


def _similar(rectangles: Tensor, eps: float) -> Tensor:
    """Whether each two rectangles are similar (k, k)."""
    origins, extents = rectangles[:, :2], rectangles[:, 2:]
    limit = eps * torch.minimum(extents[:, None], extents[None]).sum(2) * 0.5
    sides = torch.cat((origins, origins + extents), 1)
    return ((sides[:, None] - sides[None]).abs() <= limit[:, :, None]).all(2)


def _connected(similar: Tensor) -> Tensor:
    """The number of the cluster of each element (k), in the order of their first elements."""
    count = len(similar)
    first = torch.arange(count, device=similar.device)
    while True:
        near = first.expand(count, count).masked_fill(~similar, count).amin(1)
        near = near[near]
        if torch.equal(near, first):
            numbers: Tensor = torch.unique(first, return_inverse=True)[1]
            return numbers
        first = near


def _within_larger(means: Tensor, sizes: Tensor, threshold: int, eps: float) -> Tensor:
    """Whether each cluster is within another one that outweighs it (m)."""
    low, extents = means[:, :2].double(), means[:, 2:].double()
    high, slack = low + extents, (extents * eps).round()
    inside = (low[:, None] >= (low - slack)[None]) & (high[:, None] <= (high + slack)[None])
    outweighs = (sizes[None] > sizes.clamp(min=FEW)[:, None]) | (sizes < FEW)[:, None]
    other = ~torch.eye(len(means), dtype=torch.bool, device=means.device)
    return (inside.all(2) & outweighs & other & (sizes > threshold)[None]).any(1)
