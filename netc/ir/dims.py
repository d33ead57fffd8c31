"""Extents and shapes, and the unknown extent.

A shape is a tuple of extents in Caffe's order (n, c, h, w). An extent that only the data determines is UNKNOWN,
printed `?`. Arithmetic with it yields UNKNOWN, and an ordering comparison with it is False, so that a check such as
`extent < kernel` passes. Equality is identity, as for any other object; a shape rule asks one of two questions instead:
`differ` (known to be different: an error) or `agree` (known to be equal: a proof).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Shape = tuple[int, ...]
"""Extents; `()` is a scalar, such as the top of a loss."""

MAX_AXES = 32
"""The largest number of axes of a blob in Caffe (`blob.hpp`, kMaxBlobAxes)."""
LIMIT = 2**31 - 1
"""Caffe counts elements in an int32 and rejects larger blobs (`blob.cpp`, Blob::Reshape)."""


class Unknown(int):
    """An extent that is not known before run time. Use the instance UNKNOWN.

    >>> (UNKNOWN + 2 * 3 - 5) // 2 + 1
    ?
    >>> UNKNOWN < 1, UNKNOWN >= 1, bool(UNKNOWN % 2)
    (False, False, False)
    >>> UNKNOWN == 7, UNKNOWN == UNKNOWN, (2, UNKNOWN) == (2, UNKNOWN)
    (False, True, True)
    """

    def __new__(cls) -> Unknown:
        return super().__new__(cls, -1)

    def _unknown(self, *_: object) -> Any:
        return UNKNOWN

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _unknown
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __neg__ = __abs__ = _unknown
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = _unknown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, Unknown)

    def _no(self, other: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _no

    def __bool__(self) -> bool:
        return False

    def __hash__(self) -> int:
        return hash("netc.ir.dims.UNKNOWN")

    def __repr__(self) -> str:
        return "?"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("?", spec)

    def __reduce__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


def known(extent: int) -> bool:
    """Whether an extent is a number.

    >>> known(3), known(UNKNOWN)
    (True, False)
    """
    return not isinstance(extent, Unknown)


def agree(one: int | Shape, other: int | Shape) -> bool:
    """Whether two extents, or two shapes, are known to be equal.

    >>> agree(7, 7), agree(UNKNOWN, 7), agree(UNKNOWN, UNKNOWN)
    (True, False, False)
    >>> agree((2, 3), (2, 3)), agree((2, UNKNOWN), (2, UNKNOWN)), agree((), ())
    (True, False, True)
    """
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(agree, one, other))
    return one == other and not isinstance(one, Unknown)


def differ(one: int | Shape, other: int | Shape) -> bool:
    """Whether two extents, or two shapes, are known to be different; shapes with different numbers of axes always are.

    >>> differ(7, 8), differ(UNKNOWN, 7), differ(UNKNOWN, UNKNOWN)
    (True, False, False)
    >>> differ((2, UNKNOWN), (3, UNKNOWN)), differ((2, UNKNOWN), (2, 5)), differ((2,), (2, UNKNOWN))
    (True, False, True)
    """
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) != len(other) or any(map(differ, one, other))
    return one != other and not isinstance(one, Unknown) and not isinstance(other, Unknown)


def all_known(shape: Shape | None) -> bool:
    """Whether a shape's number of axes and all its extents are known.

    >>> all_known((2, 3)), all_known((2, UNKNOWN)), all_known(None)
    (True, False, False)
    """
    return shape is not None and all(map(known, shape))


def product(extents: Iterable[int]) -> int:
    """The product, 1 for no extents; UNKNOWN if an extent is unknown, unless another is 0.

    >>> product((2, 3)), product(()), product((2, UNKNOWN)), product((0, UNKNOWN))
    (6, 1, ?, 0)
    """
    result, empty = 1, False
    for extent in extents:
        result = result * extent
        empty = empty or (extent == 0)
    return 0 if empty else result


def text(shape: Shape | None) -> str:
    """A shape as shown in messages; None is a shape with an unknown number of axes.

    >>> text((1, 3, UNKNOWN, 4)), text(()), text(None)
    ('[1,3,?,4]', '[]', '[...]')
    """
    return "[...]" if shape is None else f"[{','.join(map(str, shape))}]"


def canonical_axis(axis: int, axes: int) -> int | None:
    """A possibly negative axis counted from the front, None if the blob has no such axis.

    >>> canonical_axis(-1, 4), canonical_axis(4, 4)
    (3, None)
    """
    return axis % axes if -axes <= axis < axes else None


def ceil_div(a: int, b: int) -> int:
    """`a / b` rounded up, for positive b.

    >>> ceil_div(7, 2)
    4
    """
    return -(-a // b)
