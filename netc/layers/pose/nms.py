"""Nms of OpenPose's first version: the peaks of heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import known, product, text
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 3
"""x, y and score of a peak."""
RADIUS = 3
"""Pixels on each side of a peak of which the mean place is taken."""
MOST_PEAKS = 1 << 16
"""Limit of `max_peaks`."""


@register("Nms", dialect="rtpose", field="nms_param")
@dataclass(frozen=True)
class Nms(Layer):
    """The peaks of each of the first `num_parts` maps, in the order of rows and columns.

    A peak is above `threshold` and above its eight neighbors. Its place is the mean of the places around it, weighted
    by their scores, if these are positive; the first row and column do not count. The first row of the top has the
    number of peaks, also if it is larger than `max_peaks`; rows without a peak are 0.

    Shapes: (n, c, h, w) to (n, num_parts, max_peaks + 1, 3), x, y and score.

    >>> Nms(num_parts=18, max_peaks=64).infer(((1, 57, 368, 656),), 1)
    ((1, 18, 65, 3),)

    Reference: `nms_layer.cu` of CMU-Perceptual-Computing-Lab/caffe_rtpose, which takes the width for the height where
    it limits places.
    """

    threshold: float = 0.0
    """Peaks have a larger score."""
    max_peaks: int = 0
    """Peaks of a map that are kept."""
    num_parts: int = 0
    """Number of maps."""

    no_gradient: ClassVar[tuple[int, ...]] = (0,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without the maps, E103 for no maps or peaks, E104 for too many."""
        shape = bottoms[0]
        for name in ("num_parts", "max_peaks"):
            if getattr(self, name) < 1:
                fail(f"`{name}` must be positive", code="E103", field=name)
        if self.max_peaks > MOST_PEAKS:
            fail(f"`max_peaks` is at most {MOST_PEAKS}", code="E104", field="max_peaks")
        if len(shape) != 4 or (known(shape[1]) and shape[1] < self.num_parts):
            fail(f"expected at least {self.num_parts} maps (n, c, h, w), got {text(shape)}", field="bottom")
        return ((shape[0], self.num_parts, self.max_peaks + 1, COLUMNS),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Nine comparisons per value, a hundred operations per peak."""
        n, _, h, w = bottoms[0]
        return Cost(operations=9 * product((n, self.num_parts, h, w)) + 100 * product(tops[0][:3]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Peaks are found in all maps at once."""
        import torch
        import torch.nn.functional as F

        maps = bottoms[0].detach()[:, : self.num_parts]
        height, width = maps.shape[2:]
        is_peak = _is_peak(maps, self.threshold).flatten(2)
        count = min(self.max_peaks, height * width)
        order = torch.arange(height * width, device=maps.device).expand_as(is_peak)
        order = order.masked_fill(~is_peak, height * width)
        at = order.topk(count, dim=2, largest=False, sorted=True).values
        held, at = at < height * width, at.clamp(max=height * width - 1)
        x, y = at % width, at.div(width, rounding_mode="floor")
        places = _mean_places(maps, x, y)
        scores = maps.flatten(2).gather(2, at)
        rows = torch.cat((places, scores[..., None]), 3).masked_fill(~held[..., None], 0)
        first = F.pad(is_peak.sum(2).to(maps)[..., None, None], (0, COLUMNS - 1))
        return F.pad(torch.cat((first, rows), 2), (0, 0, 0, self.max_peaks - count))


def _is_peak(maps: Tensor, threshold: float) -> Tensor:
    """Whether each value (n, c, h, w) is above a threshold and its eight neighbors, of which there must be eight."""
    import torch

    found = torch.zeros_like(maps, dtype=torch.bool)
    height, width = maps.shape[2:]
    if min(height, width) < 3:
        return found
    inner = maps[..., 1:-1, 1:-1]
    high = inner > threshold
    for dy in range(3):
        for dx in range(3):
            if (dy, dx) != (1, 1):
                high = high & (inner > maps[..., dy : height - 2 + dy, dx : width - 2 + dx])
    found[..., 1:-1, 1:-1] = high
    return found


def _mean_places(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The mean x and y (n, c, k, 2) of the positive values around places (n, c, k)."""
    import torch

    height, width = maps.shape[2:]
    steps = torch.arange(-RADIUS, RADIUS + 1, device=maps.device)
    shape = (*x.shape, len(steps), len(steps))
    rows, columns = (y[..., None, None] + steps[:, None]).expand(shape), (x[..., None, None] + steps).expand(shape)
    inside = (rows > 0) & (rows < height) & (columns > 0) & (columns < width)
    index = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).flatten(2)
    values = maps.flatten(2).gather(2, index).reshape(rows.shape)
    values = values.masked_fill(~inside, 0).clamp(min=0)
    total = values.sum((3, 4)).clamp(min=torch.finfo(maps.dtype).tiny)
    sums = [(values * one.to(values)).sum((3, 4)) / total for one in (columns, rows)]
    return torch.stack(sums, 3)
