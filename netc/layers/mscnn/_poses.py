"""Targets of objects in three dimensions, of panoramic-object-detection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from netc.ir.dims import Shape
from netc.ir.layer import Shapes

if TYPE_CHECKING:
    from torch import Tensor

POSE = 7
"""Numbers of an object in space: length, height, width, location (3) and rotation around the vertical axis."""
MATRICES = (6, 16)
"""Numbers of an image's projection matrix (2 x 3; its third row is 0 0 1) and model matrix (4 x 4)."""
MEAN_SIZE = (3.88395449168, 1.52608343191, 1.62858986849)
"""Means of length, height and width of cars in meters, which the fork subtracts."""
SIZE_DEVIATION = (0.42591674112, 0.136694962985, 0.102162061207)
"""Their deviations, by which it divides."""


class Poses(NamedTuple):
    """Where the objects of regions are."""

    projection: Tensor
    """(n, 6)."""
    model: Tensor
    """(n, 16)."""
    objects: Tensor
    """Rows of the objects of p regions (p, 14)."""


class Targets(NamedTuple):
    """Targets of p regions, in the order of the tops."""

    size: Tensor
    """Normalized length, height and width (p, 3)."""
    location: Tensor
    """The projected location relative to the region (p, 2)."""
    distance: Tensor
    """The focal length by the distance (p, 1)."""
    quadrant: Tensor
    """The quadrant of the direction in which the object is seen (p)."""
    orientation: Tensor
    """The squared cosine and sine of that direction (p, 2)."""


def pose_shapes(of: Callable[[int], Shape], classes: int) -> Shapes:
    """The shapes of the tops; `of` returns that of some columns per region."""
    count = of(1)[0]
    orientation = (count, classes, 2, 1)
    size, location, distance = (of(columns * classes) for columns in (3, 2, 1))
    return (*(size,) * 3, *(location,) * 3, *(distance,) * 3, of(1), *(orientation,) * 3)


def pose_targets(
    boxes: Tensor, poses: Poses, panoramic: bool, moments: tuple[tuple[float, ...], tuple[float, ...]]
) -> Targets:
    """Targets for boxes (p, 5) of image, x, y, width and height; `moments` normalize the location.

    An image is projected on a plane or, if `panoramic`, on a sphere.
    """
    import torch

    image = boxes[:, 0].long()
    projection = _square(poses.projection, boxes)[image]
    model = poses.model.reshape(-1, 4, 4).to(boxes)[image]
    location, rotation = poses.objects[:, 10:13], poses.objects[:, 13]
    seen = torch.einsum("pij,pj->pi", model, torch.nn.functional.pad(location, (0, 1), value=1.0))
    if panoramic:
        longitude = torch.atan2(seen[:, 0], seen[:, 2])
        latitude = torch.asin(seen[:, 1] / seen.norm(dim=1))
        angles = torch.stack((longitude, latitude, torch.ones_like(latitude)), 1)
        place = torch.einsum("pij,pj->pi", projection, angles)
        focal = projection[:, 0, 0].abs()
    else:
        place = torch.einsum("pij,pj->pi", projection, seen[:, :3])
        focal = torch.einsum("pj,pj->p", projection[:, 0], model[:, :3, 0]).abs()
    middle = boxes[:, 1:3] + 0.5 * boxes[:, 3:]
    away = (place[:, :2] / place[:, 2:] - middle) / boxes[:, 3:]
    means, deviations = (boxes.new_tensor(values) for values in moments)
    distance = focal / (seen[:, :3] / seen[:, 3:]).norm(dim=1)
    direction = rotation - torch.atan2(location[:, 0], location[:, 2])
    cosine, sine = direction.cos(), direction.sin()
    return Targets(
        (poses.objects[:, 7:10] - boxes.new_tensor(MEAN_SIZE)) / boxes.new_tensor(SIZE_DEVIATION),
        (away - means) / deviations,
        distance[:, None],
        2.0 * (cosine > 0) + (sine > 0),
        torch.stack((cosine.square(), sine.square()), 1),
    )


def _square(projection: Tensor, like: Tensor) -> Tensor:
    """Projection matrices (n, 3, 3)."""
    import torch

    rows = projection.reshape(-1, 2, 3).to(like)
    last = rows.new_tensor([[[0.0, 0.0, 1.0]]]).expand(len(rows), 1, 3)
    return torch.cat((rows, last), 1)
