"""Caffe2's two rules by which a tensor is repeated along axes: NumPy's, and the older one of `broadcast: 1`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.ir.dims import UNKNOWN, Shape, agree, differ, known, product, text
from netc.ir.layer import Shapes, fail

if TYPE_CHECKING:
    from torch import Tensor

    from netc.ir.operator import Operator


def numpy_shape(name: str, shapes: Shapes) -> Shape:
    """Return the shape that all shapes are repeated to, axes counted from the back; 1 fits every extent.

    Raises NetcError E102 for extents that do not fit.

    >>> numpy_shape("Add", ((2, 3, 4), (3, 1))), numpy_shape("Add", ((1,), (0,)))
    ((2, 3, 4), (0,))
    """
    axes = max(map(len, shapes))
    result = []
    for axis in range(-axes, 0):
        extents = [shape[axis] for shape in shapes if len(shape) >= -axis]
        wide = [extent for extent in extents if not agree(extent, 1)]
        exact = next(filter(known, wide), None)
        if exact is not None and any(differ(extent, exact) for extent in wide):
            shown = " and ".join(map(text, shapes))
            fail(f"`{name}` cannot combine inputs of shapes {shown}", field="input")
        result.append(exact if exact is not None else UNKNOWN if wide else 1)
    return tuple(result)


def legacy_axis(operator: Operator) -> int:
    """Return the axis at which the second input is aligned with the first, -1 for the last axes.

    `axis`, or `axis_str`, a letter of `order`. Raises NetcError E101 for both, E103 for another letter.
    """
    axis, letter = operator.integer("axis", -1), operator.text("axis_str")
    if not letter:
        return axis
    if axis != -1:
        operator.fail("`axis` and `axis_str` exclude each other", "axis_str", code="E101")
    order = operator.text("order", "NCHW")
    if len(letter) != 1 or letter not in order:
        operator.fail(f"`axis_str` must be a letter of `order`, {order}", "axis_str")
    return order.index(letter)


def legacy_span(name: str, a: Shape, b: Shape, axis: int) -> tuple[int, int]:
    """Return the axes of `a`, first and past the last, that those of `b` other than leading and trailing 1s match.

    `b` may instead have one element; the span is then empty. Raises NetcError E102 for extents that differ, E103 for
    an axis that is out of range.

    >>> legacy_span("Add", (2, 3, 4, 5), (3, 4), 1), legacy_span("Add", (2, 3, 4), (1, 4), -1)
    ((1, 3), (2, 3))
    """
    if agree(product(b), 1):
        return 0, 0
    if len(b) > len(a):
        if not known(product(b)):
            return 0, 0
        fail(f"`{name}` cannot broadcast {text(b)} to {text(a)}, which has fewer axes", field="input")
    start = len(a) - len(b) if axis == -1 else axis
    if not 0 <= start <= len(a) - len(b):
        fail(
            f"`axis: {axis}` of `{name}` is out of range: {text(b)} starts at an axis from 0 to {len(a) - len(b)} "
            f"of {text(a)}",
            code="E103",
            field="axis",
        )
    wide = [index for index, extent in enumerate(b) if not agree(extent, 1)]
    first, last = wide[0], wide[-1] + 1
    if differ(a[start + first : start + last], b[first:last]):
        fail(f"`{name}` cannot broadcast {text(b)} to {text(a)} at axis {start}", field="input")
    return start + first, start + last


def aligned(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """Return `b` in a shape that torch repeats to that of `a` as the older rule does; the shapes were checked."""
    if b.numel() == 1:
        return b.reshape(())
    following = 0 if axis == -1 else a.dim() - axis - b.dim()
    return b.reshape(*b.shape, *(1,) * following) if following else b
