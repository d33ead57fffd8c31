"""Functions shared by the layers that read regions of interest: rows of image, x1, y1, x2, y2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import Mode, Shapes, fail

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 5
"""Numbers of a region: the index of its image, and its corners in pixels of the image."""


def check_regions(bottoms: Shapes, index: int = 1) -> int:
    """Return the number of regions. Raises NetcError E102 unless the features have 4 axes and regions 5 numbers."""
    features, regions = bottoms[0], bottoms[index]
    if len(features) != 4:
        fail(f"expected features of 4 axes, got {text(features)}", field="bottom")
    return check_rows(regions)


def check_rows(regions: Shape) -> int:
    """Return the number of regions. Raises NetcError E102 unless each has 5 numbers."""
    if not regions or differ(product(regions[1:]), COLUMNS):
        fail(f"expected regions of {COLUMNS} numbers (image, x1, y1, x2, y2), got {text(regions)}", field="bottom")
    return regions[0]


def check_bins(bins: tuple[int, int], *fields: str) -> None:
    """Raises NetcError E103 unless there is at least one bin along each axis."""
    for count, field in zip(bins, fields):
        if count < 1:
            fail(f"`{field.rpartition('.')[2]}` is required and must be positive", code="E103", field=field)


def split(regions: Tensor, images: int, mode: Mode) -> tuple[Tensor, Tensor]:
    """The image of each region, an integer below `images`, and its corners (r, 4).

    Raises NetcError E301 for an image that does not exist.
    """
    rows = regions.detach().reshape(-1, COLUMNS)
    mode.check_range(rows[:, 0].trunc(), 0, images, "image of a region")
    return rows[:, 0].long().clamp(0, max(images - 1, 0)), rows[:, 1:]


def pooled_shape(features: Shape, regions: int, bins: tuple[int, int]) -> Shape:
    """(r, c, ph, pw)."""
    return (regions, features[1], *bins)
