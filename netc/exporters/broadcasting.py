"""Caffe2's older rule of repeating a second input, as a shape that NumPy's rule repeats likewise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.ir.dims import product

if TYPE_CHECKING:
    from netc.ir.dims import Shape
    from netc.layers.operators.binary import Binary


def repeated_shape(layer: Binary, a: Shape, b: Shape) -> Shape:
    """The shape of the second input in which NumPy's rule repeats it to the first one as the layer does.

    >>> from netc.layers.operators.binary import Binary
    >>> repeated_shape(Binary("Add", broadcast=True, axis=1), (2, 3, 4, 5), (3,))
    (3, 1, 1)
    """
    if not layer.broadcast:
        return b
    if product(b) == 1:
        return (1,)
    return b if layer.axis == -1 else (*b, *(1,) * (len(a) - layer.axis - len(b)))
