"""Blobs whose `data` and `diff` are NumPy arrays, for netc.pycaffe and layers written in Python."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.dims import text
from netc.runtime.memory import Memory

if TYPE_CHECKING:
    from netc.runtime.blobs import LayerBlob

Array = NDArray[np.float32]


class BlobStorage(Protocol):
    """The storage of a blob: netc.runtime.memory.Memory, or WeightStorage."""

    @property
    def data(self) -> Tensor:
        """The values."""

    @property
    def diff(self) -> Tensor:
        """Their gradient."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""

    def resize(self, shape: tuple[int, ...]) -> None:
        """Change the shape."""


class WeightStorage:
    """The storage of a layer's own blob: the module's tensor in Caffe's shape, and its `grad`."""

    def __init__(self, blob: LayerBlob) -> None:
        self._blob = blob

    @property
    def data(self) -> Tensor:
        """A view of the weight."""
        return self._blob.data

    @property
    def diff(self) -> Tensor:
        """A view of the weight's `grad`, zero before the first backward pass; after a solver's step, the update."""
        tensor = self._blob.tensor
        if tensor.grad is None:
            tensor.grad = torch.zeros_like(tensor)
        return tensor.grad.detach().reshape(self._blob.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Caffe's shape."""
        return tuple(self._blob.shape)

    def resize(self, shape: tuple[int, ...]) -> None:
        """Change the shape, see LayerBlob."""
        self._blob.resize(shape)


class Blob:
    """A blob.

    On a CPU its arrays share the net's memory. On a GPU they are copied when they are read, and values written into
    them are copied back before the next pass.
    """

    def __init__(self, storage: BlobStorage) -> None:
        self._storage = storage
        self._data = HostArray(storage, "data")
        self._diff = HostArray(storage, "diff")

    def connect(self, storage: BlobStorage) -> BlobStorage:
        """Let the blob have another storage; returns that which it had."""
        before = self._storage
        Blob.__init__(self, storage)
        return before

    @property
    def data(self) -> Array:
        """The values, float32, to read and to write into."""
        return self._data.array()

    @property
    def diff(self) -> Array:
        """The gradient of the loss, float32, to read and to write into."""
        return self._diff.array()

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return self._storage.shape

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def num(self) -> int:
        """The first of four extents; 1 if the blob has no such axis."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """The second of four extents."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """The third of four extents."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """The last of four extents."""
        return self._legacy(3)

    def reshape(self, *shape: int) -> None:
        """Change the shape; the values are kept if their number stays the same, and lost otherwise.

        A layer whose weights no longer have the number of values that its definition requires does not run: it is saved
        with them, and loaded into a net whose file describes it.
        """
        self._storage.resize(tuple(int(extent) for extent in shape))

    def _legacy(self, axis: int) -> int:
        """`blob.hpp`, LegacyShape. Raises NetcError E304 for more than four axes."""
        shape = self.shape
        if len(shape) > 4:
            raise NetcError(f"a blob of shape {text(shape)} has no num, channels, height and width", code="E304")
        return shape[axis] if axis < len(shape) else 1


class BlobVec(list[Blob]):
    """The blobs of a layer."""

    def add_blob(self, *shape: int) -> None:
        """Append a blob of zeros; the `setup` of a Python layer calls this for its weights."""
        self.append(Blob(Memory(tuple(shape), 0.0, torch.device("cpu"), torch.float32)))


class HostArray:
    """The NumPy array of a tensor, which may be on a GPU or of another type than float32."""

    def __init__(self, storage: BlobStorage, which: Literal["data", "diff"]) -> None:
        self._storage, self._which = storage, which
        self._host: Tensor | None = None

    def array(self) -> Array:
        """The array: the tensor's own memory if possible, else a copy that `write_back` copies back."""
        tensor = self._tensor().detach()
        if tensor.device.type == "cpu" and tensor.dtype == torch.float32 and tensor.is_contiguous():
            shared: Any = tensor.numpy()
            return shared  # type: ignore[no-any-return]
        if self._host is None or self._host.shape != tensor.shape:
            self._host = torch.empty(tensor.shape, dtype=torch.float32)
            _borrowed.pop(id(self), None)
        if id(self) not in _borrowed:
            self._host.copy_(tensor)
            _borrowed[id(self)] = self
        copied: Any = self._host.numpy()
        return copied  # type: ignore[no-any-return]

    def _tensor(self) -> Tensor:
        return self._storage.data if self._which == "data" else self._storage.diff

    def write_back(self) -> None:
        """Write the array's values into the tensor."""
        tensor = self._tensor().detach()
        if self._host is not None and self._host.shape == tensor.shape:
            tensor.copy_(self._host)


_borrowed: dict[int, HostArray] = {}
"""Copies that a program may have written into since the last pass of any net."""


def write_back() -> None:
    """Copy every array that was returned since the last pass back to its device."""
    for array in _borrowed.values():
        array.write_back()
    _borrowed.clear()
