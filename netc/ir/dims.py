"""Extents and shapes, and the unknown extent.

A shape is a tuple of extents in Caffe's order (n, c, h, w). An extent that only the data will tell
is UNKNOWN, printed `?`: arithmetic with it gives UNKNOWN, and every comparison with it is one that
raises no alarm, so that shape rules are written once, for known numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Shape = tuple[int, ...]
"""Extents; `()` is a scalar, as the tops of losses are."""

LIMIT = 2**31 - 1
"""Caffe counts elements in an int32: a blob beyond it is an error there (`blob.cpp`, Blob::Reshape)."""


class Unknown(int):
    """An extent that is not known before data arrives. Use the instance UNKNOWN.

    >>> (UNKNOWN + 2 * 3 - 5) // 2 + 1
    ?
    >>> UNKNOWN < 1, UNKNOWN != 7, UNKNOWN == 7, bool(UNKNOWN % 2)
    (False, False, True, False)
    """

    def __new__(cls) -> Unknown:
        return super().__new__(cls, -1)

    def _unknown(self, *_: object) -> Any:
        return UNKNOWN

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _unknown
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __neg__ = __abs__ = _unknown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, int)

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


def product(extents: Iterable[int]) -> int:
    """The product, 1 of nothing; UNKNOWN where an extent is, unless another is 0.

    >>> product((2, 3)), product(()), product((2, UNKNOWN))
    (6, 1, ?)
    """
    result = 1
    for extent in extents:
        result = result * extent
    return result


def text(shape: Shape | None) -> str:
    """A shape as messages show it; None is a shape whose number of axes is unknown.

    >>> text((1, 3, UNKNOWN, 4)), text(()), text(None)
    ('[1,3,?,4]', '[]', '[...]')
    """
    return "[...]" if shape is None else f"[{','.join(map(str, shape))}]"


def canonical_axis(axis: int, axes: int) -> int | None:
    """A possibly negative axis counted from the front, None where the blob has no such axis.

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
