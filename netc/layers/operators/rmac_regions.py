"""Regions of a fixed grid at several scales: RMACRegions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import UNKNOWN, known, product
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes
from netc.layers._operator_layer import ANY, OperatorLayer, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("RMACRegions")
@dataclass(frozen=True)
class RmacRegions(OperatorLayer):
    """Square regions of each image: at scale l of side 2 min(h, w) / (l + 1), evenly spaced along both axes.

    Along the longer axis there are as many more regions as bring the overlap of neighbors closest to `overlap`.

    Shapes: (n, c, h, w) to (n r, 5), of image, x1, y1, x2, y2.

    Reference: `rmac_regions_op.cc`; Tolias et al., Particular Object Retrieval with Integral Max-Pooling of CNN
    Activations, 2016.
    """

    scales: int = 3
    """The number of scales."""
    overlap: float = 0.4
    """The part of a region that its neighbor should cover."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY,)
    bottom_count: ClassVar[Count] = Count(1)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)
    indices: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the input has 4 axes."""
        x = bottoms[0]
        if product(x) == 0:
            return ((0, 5),)
        check_axes(self.type, x, 4)
        if not (known(x[2]) and known(x[3])):
            return ((UNKNOWN, 5),)
        return ((x[0] * len(_regions(x[2], x[3], self.scales, self.overlap)), 5),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        return ("float32",)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: only the shape is read."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        if x.numel() == 0:
            return torch.zeros(0, 5, device=x.device)
        regions = torch.tensor(_regions(x.shape[2], x.shape[3], self.scales, self.overlap), device=x.device)
        regions = regions.view(-1, 4).float()
        image = torch.arange(x.shape[0], device=x.device).repeat_interleave(len(regions))
        return torch.cat((image[:, None].float(), regions.repeat(x.shape[0], 1)), 1)


@cache
def _regions(height: int, width: int, scales: int, overlap: float) -> tuple[tuple[int, int, int, int], ...]:
    """The regions of one image, scale by scale, column by column.

    >>> _regions(2, 2, 2, 0.4)
    ((0, 0, 1, 1), (0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 1, 0), (1, 1, 1, 1))
    """
    import numpy as np

    shorter, more = min(height, width), _additional(height, width, overlap)
    across, down = (more if width > height else 0), (more if height > width else 0)
    found = []
    for scale in range(1, scales + 1):
        side = 2 * shorter // (scale + 1)
        if not side:
            break
        columns, rows = scale + across, scale + down
        # Caffe2 rounds the distance to float32 before it multiplies
        step_x, step_y = (
            np.float32((extent - side) / (count - 1) if count > 1 else 0)
            for extent, count in ((width, columns), (height, rows))
        )
        for i in range(columns):
            for j in range(rows):
                x, y = min(int(step_x * np.float32(i)), width - side), min(int(step_y * np.float32(j)), height - side)
                found.append((x, y, x + side - 1, y + side - 1))
    return tuple(found)


def _additional(height: int, width: int, overlap: float) -> int:
    """How many more regions there are along the longer axis."""
    import numpy as np

    shorter = min(height, width)
    if height == width:
        return 0
    area = np.float32(shorter * shorter)

    def error(count: int) -> np.float32:  # in float32, as in Caffe2: counts may be equally close
        distance = np.float32((max(height, width) - shorter) / count)
        return abs((area - np.float32(shorter) * distance) / area - np.float32(overlap))

    return min(range(1, 7), key=error)
