"""The types of elements that arguments of operators name by the numbers or names of TensorProto's DataType."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from netc.ir.dtypes import DType
from netc.ir.operator import Operator

if TYPE_CHECKING:
    import torch

DATA_TYPES: Mapping[int, tuple[str, DType]] = {
    1: ("FLOAT", "float32"),
    2: ("INT32", "int32"),
    4: ("STRING", "string"),
    5: ("BOOL", "bool"),
    6: ("UINT8", "uint8"),
    7: ("INT8", "int8"),
    8: ("UINT16", "uint16"),
    9: ("INT16", "int16"),
    10: ("INT64", "int64"),
    12: ("FLOAT16", "float16"),
    13: ("DOUBLE", "float64"),
}
"""The name and the type of each number of TensorProto's DataType that operators accept (`caffe2.proto`)."""

RANGES: Mapping[DType, tuple[int, int]] = {
    "bool": (-(2**63), 2**63 - 1),  # anything but 0 is true
    "uint8": (0, 2**8 - 1),
    "int8": (-(2**7), 2**7 - 1),
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
"""The integers that an argument may hold for a type."""


def check_integer(operator: Operator, argument: str, value: int, dtype: DType) -> None:
    """Raise NetcError E103 for an integer of an argument that its type does not have."""
    low, high = RANGES[dtype]
    if not low <= value <= high:
        operator.fail(f"`{argument}` holds {value}, which is not a value of type {dtype}", argument)


def data_type(
    operator: Operator, argument: str, accepted: frozenset[DType], default: DType = "float32", *, names: bool = True
) -> DType:
    """The type that an argument names by its number or, if `names`, in words; `default` if it is not set.

    Raises NetcError E103 for a type that is not among those accepted.
    """
    if argument not in operator:
        return default
    if names and "s" in operator.arguments[argument]:
        word = operator.text(argument)
        found = next((dtype for name, dtype in DATA_TYPES.values() if name == word.upper()), None)
    else:
        word = str(operator.integer(argument))
        found = DATA_TYPES.get(int(word), ("", None))[1]
    if found is None or found not in accepted:
        expected = ", ".join(f"{number} ({name})" for number, (name, dtype) in DATA_TYPES.items() if dtype in accepted)
        operator.fail(f"`{argument}: {word}` of `{operator.type}` is not a type it supports: {expected}", argument)
    return found


def torch_type(dtype: DType) -> torch.dtype:
    """The type of tensors, whose names are those of the IR."""
    import torch

    found: torch.dtype = getattr(torch, dtype)
    return found
