"""The levels of a feature pyramid: maps of several strides, and the regions that belong to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.ir.layer import fail
from netc.layers.detection.proposal import check_positive

if TYPE_CHECKING:
    from torch import Tensor

STRIDES = (4, 8, 16, 32, 64)
"""The strides of levels 2 to 6."""
FIRST, LAST = 2, 5
"""The levels that regions are pooled from."""
LEVELS = LAST + 1 - FIRST
USUAL_LEVEL, USUAL_SIDE = 4, 224
"""A square region of this many pixels a side belongs to this level."""


def check_strides(strides: tuple[Any, ...]) -> None:
    """Raises NetcError E103 unless the strides are positive integers, and each is above the one before it."""
    check_positive(strides, "python_param.param_str", "feat_stride")
    if list(strides) != sorted({int(one) for one in strides}):
        message = f"expected ascending integers as `feat_stride`, got {strides}"
        fail(message, code="E103", field="python_param.param_str")


def written_strides(name: str, value: Any) -> str | None:
    """A tuple of strides in the form that the original classes split at commas; None for other settings."""
    return ",".join(map(str, value)) if name == "feat_stride" else None


def levels_of(regions: Tensor) -> Tensor:
    """The level that each region (r, 5) belongs to, 0 for the first one, by the square root of its area."""
    sides = regions[:, 3:5] - regions[:, 1:3]
    area = sides.prod(1)
    area = area.where(area > 0, area.new_tensor(1e-6))
    return (USUAL_LEVEL + (area.sqrt() / USUAL_SIDE).log2()).floor().clamp(FIRST, LAST).long() - FIRST
