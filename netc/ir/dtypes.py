"""Element types by name: the names of NumPy and torch, without importing either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

DType = Literal[
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "uint16",
    "int16",
    "int8",
    "uint8",
    "bool",
    "string",
    "mutex",
    "unknown",
]
"""The type of a value's elements. Caffe's blobs are `float32`; the others come with Caffe2's operators. Inputs of a
Caffe2 net are `unknown` until the caller feeds them. A `mutex` has no elements."""

ITEM_BYTES: Mapping[DType, int | None] = {
    "float32": 4,
    "float64": 8,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "uint16": 2,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "string": None,
    "mutex": None,
    "unknown": None,
}
"""Bytes of one element; None if elements differ in size, or are unknown."""

FLOATS: frozenset[DType] = frozenset(("float32", "float64", "float16", "bfloat16"))
"""Floating-point types, which `.double()` and `.half()` of a net convert."""


def is_floating(dtype: DType) -> bool:
    """Whether elements are floating-point numbers.

    >>> is_floating("float16"), is_floating("int64")
    (True, False)
    """
    return dtype in FLOATS


def suffix(dtype: DType) -> str:
    """The dtype as shown after a shape in messages and graphs; empty for `float32` and an unknown one.

    >>> suffix("float32"), suffix("int64")
    ('', ':int64')
    """
    return "" if dtype in ("float32", "unknown") else f":{dtype}"
