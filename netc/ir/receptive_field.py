"""The receptive field of one element along one axis, and how fields combine.

The field of a window of `kernel` elements with a given stride, over elements with field f whose distance in the input
is j, is f + dilation (kernel - 1) j, and the distance of the results is j stride (Araujo, Norris, Sim, Computing
Receptive Fields of Convolutional Neural Networks, Distill 2019). Padding and the input's border are ignored, as in
papers: a field may be larger than the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd

from netc.ir.dims import Shape, agree, ceil_div, known


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The receptive field of an element along one axis."""

    size: int = 1
    """Number of input elements from the first to the last that affect it."""
    jump: int = 1
    """Distance of neighboring elements of the value, in input elements, times `jump_divisor`."""
    jump_divisor: int = 1
    """Number of elements of the value within `jump` input elements; greater than 1 after a deconvolution. Integers are
    used because importing Python's `fractions` would take longer than `netc check` itself."""

    def window(self, kernel: int, stride: int = 1, dilation: int = 1) -> ReceptiveField:
        """The field after a window.

        >>> ReceptiveField().window(7, 2).window(3, 2)
        ReceptiveField(size=11, jump=4, jump_divisor=1)
        """
        return self._moved(dilation * (kernel - 1), stride, 1)

    def spread(self, kernel: int, stride: int = 1, dilation: int = 1) -> ReceptiveField:
        """The field after a deconvolution, whose elements each depend on one in `stride` of the kernel's positions."""
        return self._moved(ceil_div(dilation * (kernel - 1) + 1, stride) - 1, 1, stride)

    def _moved(self, elements: int, factor: int, divisor: int) -> ReceptiveField:
        """The field extended by a number of elements, with another jump."""
        jump, per = self.jump * factor, self.jump_divisor * divisor
        common = gcd(jump, per)
        size = self.size + ceil_div(elements * self.jump, self.jump_divisor)
        return ReceptiveField(size, jump // common, per // common)

    def whole(self, extent: int) -> ReceptiveField:
        """The field of all `extent` elements together."""
        return self.window(extent)


ReceptiveFields = tuple[ReceptiveField, ...]
"""One for each axis; empty if a value does not depend on a position in the input."""


def all_places(fields: ReceptiveFields, bottom: Shape) -> ReceptiveFields | None:
    """The field of all positions of a bottom together; None if an extent is unknown."""
    spatial = bottom[2:]
    if len(spatial) != len(fields):  # flattened before: the fields already cover all positions
        return fields
    return tuple(map(ReceptiveField.whole, fields, spatial)) if all(map(known, spatial)) else None


def largest(fields: Sequence[ReceptiveFields]) -> ReceptiveFields | None:
    """The largest of the fields of several bottoms, with the jumps of the first."""
    if any(len(one) != len(fields[0]) for one in fields):
        return None
    return tuple(replace(axis[0], size=max(field.size for field in axis)) for axis in zip(*fields))


def by_shape(fields: ReceptiveFields, bottom: Shape, top: Shape) -> ReceptiveFields | None:
    """The field after a layer that keeps the positions of its bottom, or merges all of them; None for any other."""
    spatial, result = bottom[2:], top[2:]
    if agree(result, spatial):
        return fields
    return all_places(fields, bottom) if all(agree(extent, 1) for extent in result) else None
