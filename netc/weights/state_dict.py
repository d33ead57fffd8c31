"""State dicts: tensors by the names of `netc.load(...).state_dict()`, from safetensors, PyTorch or NumPy files.

Nothing is unpickled but tensors: torch's own reader is limited to them (`weights_only`), NumPy's to plain arrays.
"""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from netc.diagnostics import NetcError
from netc.foreign import foreign_errors
from netc.weights.blobs import Array, StateDict
from netc.weights.numpy_file import read_npz

if TYPE_CHECKING:
    from torch import Tensor

PICKLE_TAR = slice(257, 262)
"""Where a tar archive has its mark; torch would unpack one that starts like a pickle."""


def read_state_dict(path: str | os.PathLike[str], kind: str, head: bytes) -> StateDict:
    """The tensors of a file of `kind` (`file_type.STATE_DICTS`), which starts with `head`.

    Raises NetcError E402 for a file that does not hold tensors only, E403 for a damaged one, E405 for one that
    expands to more than the limit.
    """
    if kind == "npz":
        return StateDict(read_npz(path))
    tensors = _safetensors(path) if kind == "safetensors" else _torch_file(path, head)
    with foreign_errors(path, "a state_dict of tensors"):
        return StateDict({name: _array(tensor) for name, tensor in tensors.items()})


def _safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    with foreign_errors(path, "a safetensors file"):  # its own, and torch's for a type or shape that it lacks
        return load_file(os.fspath(path))


def _torch_file(path: str | os.PathLike[str], head: bytes) -> dict[str, Tensor]:
    """The tensors that torch.save wrote. torch compresses nothing: a compressed archive is another program's."""
    import torch

    if head[PICKLE_TAR] == b"ustar" or (head[:2] == b"PK" and _is_compressed(path)):
        raise NetcError(f"`{os.fspath(path)}` is a compressed archive, which PyTorch does not write", code="E402")
    with foreign_errors(path, "a state_dict of tensors", code="E402"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's about the file: an error is raised below
        found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, Mapping) or not all(_is_plain(value) for value in found.values()):
        raise NetcError(f"`{os.fspath(path)}` contains values other than tensors", code="E402", help=_help(found))
    return {str(name): value for name, value in found.items()}


def _help(found: object) -> str | None:
    """The advice for a training checkpoint: the name of the state_dict in it."""
    items = found.items() if isinstance(found, Mapping) else ()
    inner = [str(key) for key, value in items if isinstance(value, Mapping)]
    return f"save the state_dict alone, for instance `{inner[0]}`" if inner else None


def _is_compressed(path: str | os.PathLike[str]) -> bool:
    with foreign_errors(path, "a state_dict of tensors", code="E402"), zipfile.ZipFile(path) as archive:
        return any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist())


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor whose elements are all there: a view may repeat one element without end."""
    import torch

    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized:
        return False
    return not value.is_meta and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _array(tensor: Tensor) -> Array:
    """A tensor as an array that shares its memory; types that NumPy lacks (bfloat16) become float32."""
    tensor = tensor.detach()
    if tensor.is_floating_point() and (tensor.element_size() == 1 or str(tensor.dtype) == "torch.bfloat16"):
        tensor = tensor.float()
    if tensor.is_complex():
        raise ValueError("complex numbers")
    array: Array = np.asarray(tensor.resolve_neg().numpy())
    return array
