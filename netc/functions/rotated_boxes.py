"""Overlaps of rotated boxes: center x and y, width, height, and the angle in degrees, counterclockwise."""

from __future__ import annotations

import torch
from torch import Tensor

_PARALLEL = 1e-14
"""Edges whose directions have a smaller cross product do not intersect."""


def overlaps(box: Tensor, others: Tensor) -> Tensor:
    """Return the intersections over unions of a box (5) with others (n, 5), in float64; NaN for two without an area.

    >>> box = torch.tensor([0.0, 0.0, 2.0, 2.0, 0.0])
    >>> overlaps(box, torch.tensor([[0.0, 0.0, 2.0, 2.0, 90.0], [1.0, 0.0, 2.0, 2.0, 0.0], [9.0, 0.0, 2.0, 2.0, 0.0]]))
    tensor([1.0000, 0.3333, 0.0000], dtype=torch.float64)
    """
    box, others = box.double(), others.double()
    area, areas = box[2] * box[3], others[:, 2] * others[:, 3]
    reach = (box[2:4].norm() + others[:, 2:4].norm(dim=1)) / 2
    near = (area > 0) & (areas > 0) & ((others[:, :2] - box[:2]).norm(dim=1) < reach)
    some, common = others[near], torch.zeros_like(areas)
    common[near] = _intersections(_corners(box.expand_as(some)), _corners(some))
    return common / (area + areas - common)


def _corners(boxes: Tensor) -> Tensor:
    """(n, 4, 2): the corners in order."""
    angle = -torch.deg2rad(boxes[:, 4])  # y points down
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack((cos, sin), 1) * boxes[:, 2:3] / 2
    along = torch.stack((-sin, cos), 1) * boxes[:, 3:4] / 2
    center = boxes[:, :2]
    return torch.stack(
        (center - across - along, center + across - along, center + across + along, center - across + along), 1
    )


def _intersections(first: Tensor, second: Tensor) -> Tensor:
    """(n): the areas of the intersections of two rectangles each, whose corners (n, 4, 2) are given.

    The corners of an intersection are where edges cross, and the corners of each rectangle that are in the other.
    """
    crossing, crosses = _crossings(first, second)
    points = torch.cat((crossing, first, second), 1)
    valid = torch.cat((crosses, _inside(first, second), _inside(second, first)), 1)
    center = (points * valid.unsqueeze(2)).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
    any_valid = valid.int().argmax(1)[:, None, None].expand(-1, 1, 2)
    points = torch.where(valid.unsqueeze(2), points, points.gather(1, any_valid)) - center.unsqueeze(1)
    order = torch.atan2(points[..., 1], points[..., 0]).argsort(1)
    points = points.gather(1, order.unsqueeze(2).expand_as(points))
    area = _cross(points, points.roll(-1, 1)).sum(1).abs() / 2
    return torch.where(valid.sum(1) > 2, area, 0)


def _crossings(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 16, 2) and (n, 16): where each edge of the first crosses each of the second, and whether it does."""
    edge, other = (corners.roll(-1, 1) - corners for corners in (first, second))
    edge, start, other, end = edge.unsqueeze(2), first.unsqueeze(2), other.unsqueeze(1), second.unsqueeze(1)
    determinant = _cross(other, edge)
    usable = determinant.abs() > _PARALLEL
    determinant = torch.where(usable, determinant, 1)
    along = _cross(other, end - start) / determinant
    along_other = _cross(edge, end - start) / determinant
    crosses = usable & (along >= 0) & (along <= 1) & (along_other >= 0) & (along_other <= 1)
    return (start + along.unsqueeze(3) * edge).flatten(1, 2), crosses.flatten(1)


def _inside(points: Tensor, corners: Tensor) -> Tensor:
    """(n, 4): whether each point is in the rectangle."""
    origin = corners[:, :1]
    inside = torch.ones_like(points[..., 0], dtype=torch.bool)
    for side in (corners[:, 1:2] - origin, corners[:, 3:4] - origin):
        along = ((points - origin) * side).sum(2)
        inside &= (along >= 0) & (along <= (side * side).sum(2))
    return inside


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - b[..., 0] * a[..., 1]
