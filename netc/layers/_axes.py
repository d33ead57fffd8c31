"""Axes counted from either end, and checks that the shapes of bottoms agree.

Rules from `blob.hpp` (CanonicalAxisIndex), `concat_layer.cpp` and `eltwise_layer.cpp` (Reshape).
"""

from __future__ import annotations

from netc.diagnostics import counted
from netc.ir.dims import Shape, canonical_axis, differ, known
from netc.ir.layer import Shapes, fail


def axis_of(axis: int, shape: Shape, field: str = "axis") -> int:
    """Return the axis counted from the front. Raises NetcError E102 if the bottom has no such axis.

    >>> axis_of(-1, (2, 3, 4))
    2
    """
    found = canonical_axis(axis, len(shape))
    if found is None:
        fail(f"axis {axis} of a bottom with {counted(len(shape), 'axis')}", field=field)
    return found


def agreed(shapes: Shapes, free: int | None = None) -> Shape:
    """Return the shape that all bottoms share, except at axis `free`; unknown extents are taken from other bottoms.

    Raises NetcError E102 if they differ.

    >>> from netc.ir.dims import UNKNOWN
    >>> agreed(((2, UNKNOWN, 5), (2, 3, 7)), free=2)
    (2, 3, 5)
    """
    merged = list(shapes[0])
    for index, shape in enumerate(shapes[1:], 1):
        if len(shape) != len(merged):
            fail(f"bottom 0 has {counted(len(merged), 'axis')}, bottom {index} has {len(shape)}", field="bottom")
        for axis, extent in enumerate(shape):
            if axis == free:
                continue
            if differ(extent, merged[axis]):
                fail(f"bottoms 0 and {index} differ at axis {axis}: {merged[axis]} and {extent}", field="bottom")
            if not known(merged[axis]):
                merged[axis] = extent
    return tuple(merged)
