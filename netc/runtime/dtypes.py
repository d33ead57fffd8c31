"""Conversion of the IR's dtypes to torch's, and of arrays to the tensors of a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.dtypes import DType, is_floating

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_TORCH: dict[DType, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "uint16": torch.uint16,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}


def torch_dtype(dtype: DType, reals: torch.dtype = torch.float32) -> torch.dtype:
    """Return the dtype of tensors that hold values of a declared type.

    `reals` is the precision of the net, which replaces `float32` after `net.double()`. Raises NetcError E302 for
    strings, which tensors do not support.
    """
    if dtype == "float32":
        return reals
    if dtype not in _TORCH:
        raise NetcError(f"tensors do not support values of type `{dtype}`", code="E302")
    return _TORCH[dtype]


def fed_tensor(
    name: str, array: ArrayLike, dtype: DType, indices: bool, device: torch.device, reals: torch.dtype
) -> Tensor:
    """Return the tensor of an array that is fed to a net as its blob `name`, of a declared type.

    An array for an integer blob must hold integers in its range. For a floating-point blob it is converted to the
    precision of the net, which rounds integers beyond 2**24 in float32, as Caffe's blobs do; but if all readers use it
    as indices (`indices`), an integer array is not converted, so that no label or id is rounded. For a blob of unknown
    type the array keeps its own. Raises NetcError E302.
    """
    given = np.asarray(array)
    if dtype == "unknown":
        if given.dtype.kind not in "fiub":
            raise NetcError(f"input `{name}` holds values of type {given.dtype}, not numbers", code="E302")
        return torch.from_numpy(given.copy()).to(device)
    if not is_floating(dtype):
        return _exact(name, given, torch_dtype(dtype)).to(device)
    if indices and given.dtype.kind in "iu":
        return _exact(name, given, torch.int64).to(device)
    return torch.as_tensor(given, dtype=torch_dtype(dtype, reals), device=device)


def _exact(name: str, array: NDArray[Any], target_dtype: torch.dtype) -> Tensor:
    """Convert the array to an integer dtype. Raises NetcError E302 for values that the dtype does not represent."""
    target = np.dtype(str(target_dtype).removeprefix("torch."))
    with np.errstate(invalid="ignore"):
        converted = array.astype(target)
    same = converted == array
    if not np.all(same):
        found = np.asarray(array)[~same].flat[0]
        raise NetcError(f"input `{name}` holds {found}, which is not a value of type `{target}`", code="E302")
    return torch.from_numpy(np.ascontiguousarray(converted).reshape(array.shape))


def name_of(dtype: torch.dtype) -> DType:
    """Return the IR's name of a type of tensors; `unknown` for one that it does not have."""
    return _NAMES.get(dtype, "unknown")


_NAMES: dict[torch.dtype, DType] = {dtype: name for name, dtype in _TORCH.items()}


def array_from(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor as an array: floating-point numbers as float32, others in their own type."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
