"""Maps of joints and limbs for training of pose estimation (`cpm_data_transformer.cpp`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from netc.ir.skeleton import Skeleton

Floats = npt.NDArray[np.float32]
SMALLEST_EXPONENT = 4.6052
"""-ln(1 %): a Gaussian is cut off where it is smaller."""
LIMB_STRIDE = 8
"""Pixels of the image per pixel of the maps of limbs, whatever the stride of the layer."""
LIMB_WIDTH = 1
"""The largest distance from a limb, in pixels of its maps."""
LABELED = 1
"""Joints with at most this visibility have maps."""


def maps_of(
    skeleton: Skeleton, joints: Floats, visible: npt.NDArray[Any], grid: tuple[int, int], stride: int, sigma: float
) -> Floats:
    """The maps (2 limbs + joints + 1, h, w) of limbs, joints and background.

    `joints` are the x and y of the joints of each person (people, joints, 2), in pixels of the image; `visible`
    (people, joints) is at most 1 for those that are in it.
    """
    split, labeled = 2 * len(skeleton.limbs), visible <= LABELED
    maps = np.zeros((skeleton.maps + 1, *grid), np.float32)
    for limb, (start, end) in enumerate(skeleton.limbs):
        for person in np.flatnonzero(labeled[:, start] & labeled[:, end]):
            _draw_limb(maps[2 * limb : 2 * limb + 2], joints[person, start], joints[person, end])
    for joint in range(skeleton.joints):
        maps[split + joint] = gaussians(joints[labeled[:, joint], joint], grid, stride, sigma)
    maps[-1] = np.maximum(1 - maps[split:-1].max(0), 0)
    return maps


def gaussians(centers: Floats, grid: tuple[int, int], stride: int, sigma: float) -> Floats:
    """The sum (h, w) of Gaussians around centers (n, 2), at most 1."""
    rows, columns = (np.arange(size, dtype=np.float32) * stride + (stride / 2 - 0.5) for size in grid)
    x, y = (centers[:, axis].astype(np.float32)[:, None] for axis in (0, 1))
    distances = ((rows - y) ** 2)[:, :, None] + ((columns - x) ** 2)[:, None, :]
    exponents = distances / np.float32(2 * sigma * sigma)
    each = np.where(exponents > SMALLEST_EXPONENT, np.float32(0), np.exp(-exponents))
    total: Floats = np.minimum(each.sum(0, dtype=np.float32), 1)
    return total


def _draw_limb(maps: Floats, start: Floats, end: Floats) -> None:
    """Write the unit vector along a limb (2, h, w) where its line is near; the last person of a place is kept."""
    a, b = (np.asarray(point, np.float32) / LIMB_STRIDE for point in (start, end))
    length = np.hypot(*(b - a))
    if not np.isfinite(length) or length == 0:
        return
    unit = (b - a) / length
    low, high = np.minimum(a, b) - LIMB_WIDTH, np.maximum(a, b) + LIMB_WIDTH
    height, width = maps.shape[1:]
    x0, y0 = (max(_rounded(value), 0) for value in low)
    x1, y1 = (min(_rounded(value), size) for value, size in zip(high, (width, height)))
    if x1 <= x0 or y1 <= y0:
        return
    x, y = np.arange(x0, x1, dtype=np.float32) - a[0], np.arange(y0, y1, dtype=np.float32) - a[1]
    near = np.abs(x[None] * unit[1] - y[:, None] * unit[0]) <= LIMB_WIDTH
    part = maps[:, y0:y1, x0:x1]
    part[:, near] = unit[:, None]


def _rounded(value: float) -> int:
    """The nearest integer, away from zero in the middle, within the bounds of images."""
    bounded = min(max(float(value), -(2.0**30)), 2.0**30)
    return int(np.copysign(np.floor(abs(bounded) + 0.5), bounded))
