"""The receptive field of one element along one axis, and how fields combine.

The field of a window of `kernel` elements, `stride` apart, over elements with field f that lie j apart in the input is
f + dilation (kernel - 1) j, and its own elements lie j stride apart (Araujo, Norris, Sim, Computing Receptive Fields
of Convolutional Neural Networks, Distill 2019). Padding and the input's border are left out, as in papers: a field may
be larger than the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from netc.ir.dims import Shape, agree, known


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What an element sees along one axis."""

    size: int = 1
    """Input elements from the first to the last that change it."""
    jump: Fraction = Fraction(1)
    """Input elements between two neighboring elements of the value."""

    def window(self, kernel: int, stride: int = 1, dilation: int = 1) -> ReceptiveField:
        """The field after a window.

        >>> ReceptiveField().window(7, 2).window(3, 2)
        ReceptiveField(size=11, jump=Fraction(4, 1))
        """
        return ReceptiveField(ceil(self.size + dilation * (kernel - 1) * self.jump), self.jump * stride)

    def spread(self, kernel: int, stride: int = 1, dilation: int = 1) -> ReceptiveField:
        """The field after a deconvolution, whose elements each see one in `stride` of the kernel's places."""
        seen = ceil(Fraction(dilation * (kernel - 1) + 1, stride))
        return ReceptiveField(ceil(self.size + (seen - 1) * self.jump), self.jump / stride)

    def whole(self, extent: int) -> ReceptiveField:
        """The field of all `extent` elements together."""
        return self.window(extent)


ReceptiveFields = tuple[ReceptiveField, ...]
"""One for each axis; empty where a value has no place in the input."""


def all_places(fields: ReceptiveFields, bottom: Shape) -> ReceptiveFields | None:
    """The field of all places of a bottom together; None where an extent is unknown."""
    spatial = bottom[2:]
    if len(spatial) != len(fields):  # flattened before: the fields are those of the whole already
        return fields
    return tuple(map(ReceptiveField.whole, fields, spatial)) if all(map(known, spatial)) else None


def largest(fields: Sequence[ReceptiveFields]) -> ReceptiveFields | None:
    """The largest of the fields of several bottoms; elements lie as in the first."""
    if any(len(one) != len(fields[0]) for one in fields):
        return None
    return tuple(ReceptiveField(max(field.size for field in axis), axis[0].jump) for axis in zip(*fields))


def by_shape(fields: ReceptiveFields, bottom: Shape, top: Shape) -> ReceptiveFields | None:
    """The field after a layer that keeps the places of its bottom, or joins all of them; None for any other."""
    spatial, result = bottom[2:], top[2:]
    if agree(result, spatial):
        return fields
    return all_places(fields, bottom) if all(agree(extent, 1) for extent in result) else None
