"""Color and geometry of images in floating point, as OpenCV computes them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1.1920929e-07
"""FLT_EPSILON."""


def to_hsv(image: Tensor) -> Tensor:
    """Return hue in degrees, saturation and value (3, h, w) of planes blue, green, red (3, h, w) (cvtColor)."""
    blue, green, red = image
    value, low = image.amax(0), image.amin(0)
    spread = value - low
    degrees = 60 / (spread + EPSILON)
    hue = torch.where(value == green, (blue - red) * degrees + 120, (red - green) * degrees + 240)
    hue = torch.where(value == red, (green - blue) * degrees, hue)
    return torch.stack((torch.where(hue < 0, hue + 360, hue), spread / (value.abs() + EPSILON), value))


def from_hsv(image: Tensor) -> Tensor:
    """Return planes blue, green, red (3, h, w) of hue in degrees, saturation and value (3, h, w) (cvtColor)."""
    hue, saturation, value = image
    planes = []
    for sector in (1, 3, 5):
        place = (sector + hue / 60) % 6
        planes.append(value - value * saturation * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(planes)


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """Return planes (c, h, w) resized by bicubic interpolation, without filtering (INTER_CUBIC)."""
    return functional.interpolate(image[None], (height, width), mode="bicubic", align_corners=False)[0]


def rotated(image: Tensor, degrees: float, border: float) -> tuple[Tensor, Tensor]:
    """Return planes (c, h, w) rotated clockwise around their center, and the matrix (2, 3) that moves pixels.

    The result is the rectangle that encloses the rotated one. Pixels without four neighbors are `border`.
    """
    height, width = image.shape[1:]
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    middle = (width / 2, height / 2)
    reach = (abs(cosine * middle[0]) + abs(sine * middle[1]), abs(sine * middle[0]) + abs(cosine * middle[1]))
    low = [math.floor(m - r) for m, r in zip(middle, reach)]
    columns, rows = (math.ceil(m + r) - start + 1 for m, r, start in zip(middle, reach, low))
    shift = (
        middle[0] - low[0] - cosine * middle[0] + sine * middle[1],
        middle[1] - low[1] - sine * middle[0] - cosine * middle[1],
    )
    y, x = (torch.arange(extent, device=image.device).to(image) for extent in (rows, columns))
    x, y = (x - shift[0])[None], (y - shift[1])[:, None]
    at = torch.stack((cosine * x + sine * y, cosine * y - sine * x), -1)
    size = at.new_tensor((max(width - 1, 1), max(height - 1, 1)))
    inside = ((at.floor() >= 0) & (at.floor() < size)).all(2)
    found = functional.grid_sample(image[None], (at * 2 / size - 1)[None], align_corners=True)[0]
    matrix = image.new_tensor(((cosine, -sine, shift[0]), (sine, cosine, shift[1])))
    return found.masked_fill(~inside, border), matrix
