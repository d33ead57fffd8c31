"""Checks of bottoms with four axes (n, c, h, w), which the layers of optical flow expect."""

from __future__ import annotations

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, text
from netc.ir.layer import Shapes, fail

AXES = 4


def planes(layer: str, bottoms: Shapes) -> tuple[Shape, ...]:
    """Return the bottoms. Raises NetcError E102 if one does not have four axes.

    >>> planes("Accum", ((1, 2, 3, 4),))
    ((1, 2, 3, 4),)
    """
    for index, bottom in enumerate(bottoms):
        if len(bottom) != AXES:
            which = f"bottom {index}" if len(bottoms) > 1 else "a bottom"
            fail(
                f"`{layer}` expects {which} with 4 axes (n, c, h, w), got {counted(len(bottom), 'axis')}",
                field="bottom",
            )
    return bottoms


def one_batch(bottoms: Shapes) -> None:
    """Raises NetcError E102 if the bottoms are known to have different numbers of items."""
    for bottom in bottoms[1:]:
        if differ(bottom[0], bottoms[0][0]):
            fail(f"bottoms have different numbers of items: {', '.join(map(text, bottoms))}", field="bottom")
