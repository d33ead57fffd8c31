"""Boxes of Detectron's operators in Caffe2: decoded, clipped and measured, upright or rotated.

An upright box is x1, y1, x2, y2. A rotated one is the center x and y, width, height, and the angle in degrees,
counterclockwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_STEP = math.log(1000 / 16)
"""Bound of the logarithm by which a width or height is scaled."""


@dataclass(frozen=True)
class BoxRules:
    """How boxes are decoded and clipped."""

    plus_one: bool = True
    """Whether x2 and y2 are the last pixels of upright boxes, so that their widths are x2 - x1 + 1."""
    angles: tuple[int, int] | None = (-90, 90)
    """The bounds of the angles of rotated boxes; None to keep angles."""
    clip_angle: float = 1.0
    """The largest angle of rotated boxes that are clipped; negative for none."""

    @property
    def extra(self) -> int:
        """The pixels by which an upright box is wider than x2 - x1."""
        return int(self.plus_one)

    def decoded(self, boxes: Tensor, codes: Tensor, weights: Sequence[float] = (1, 1, 1, 1)) -> Tensor:
        """The boxes (..., 4) or (..., 5) moved and scaled by codes, the first four divided by weights.

        The last code of rotated boxes is an angle in radians.

        >>> BoxRules().decoded(torch.tensor([[0.0, 0.0, 1.0, 3.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        tensor([[2., 0., 3., 3.]])
        """
        rotated = boxes.shape[-1] == 5
        centers, sizes = (boxes[..., :2], boxes[..., 2:4]) if rotated else self._centers(boxes)
        scaled = codes[..., :4] / codes.new_tensor(weights)
        centers = scaled[..., :2] * sizes + centers
        sizes = scaled[..., 2:].clamp(max=LARGEST_STEP).exp() * sizes
        if not rotated:
            return torch.cat((centers - 0.5 * sizes, centers + 0.5 * sizes - self.extra), -1)
        angle = codes[..., 4:] * 180.0 / math.pi + boxes[..., 4:]
        return torch.cat((centers, sizes, self._bounded(angle)), -1)

    def clipped(self, boxes: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """The boxes within images of these extents, which broadcast with the boxes; rotated ones if almost upright.

        >>> BoxRules().clipped(torch.tensor([[-1.0, 0.0, 9.0, 9.0]]), torch.tensor(4.0), torch.tensor(8.0))
        tensor([[0., 0., 7., 3.]])
        """
        if boxes.shape[-1] == 4:
            limits = torch.stack((width, height, width, height), -1) - self.extra
            return torch.minimum(boxes, limits.to(boxes.dtype)).clamp(min=0)
        halves = (boxes[..., 2:4] - self.extra) / 2
        corners = self.clipped(torch.cat((boxes[..., :2] - halves, boxes[..., :2] + halves), -1), height, width)
        low, high = corners[..., :2], corners[..., 2:]
        upright = torch.cat(((low + high) / 2, high - low + self.extra, boxes[..., 4:]), -1)
        return torch.where(boxes[..., 4:].abs() <= self.clip_angle, upright, boxes)

    def usable(self, boxes: Tensor, smallest: Tensor, height: Tensor, width: Tensor) -> Tensor:
        """Whether both sides are at least `smallest`, and the center is not beyond the right or lower edge."""
        sizes, centers = boxes[..., 2:4], boxes[..., :2]
        if boxes.shape[-1] == 4:
            sizes = boxes[..., 2:] - boxes[..., :2] + self.extra
            centers = boxes[..., :2] + sizes / 2
        return (sizes >= smallest).all(-1) & (centers[..., 0] < width) & (centers[..., 1] < height)

    def _centers(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        sizes = boxes[..., 2:] - boxes[..., :2] + self.extra
        return boxes[..., :2] + 0.5 * sizes, sizes

    def _bounded(self, angle: Tensor) -> Tensor:
        if self.angles is None:
            return angle
        low, high = self.angles
        period = high - low
        return torch.where(angle < low, angle + period, torch.where(angle > high, angle - period, angle))
