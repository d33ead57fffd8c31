"""Caffe's blobs: the memory that all versions of one blob share, for the node-by-node executor.

The memory of a blob is the tensor that its layer returned, without a copy, until a program reads `data` or `diff`: that
returns memory which stays the same, and later results are copied into it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netc.ir.dims import Shape, known
from netc.ir.graph import AUTOMATIC, Graph
from netc.runtime.dtypes import torch_dtype

if TYPE_CHECKING:
    from netc.ir.dtypes import DType


class Buffer:
    """A tensor that may be replaced until it is lent, and is overwritten from then on."""

    def __init__(self, tensor: Tensor, lent: bool = False) -> None:
        self.tensor = tensor
        self.lent = lent

    def lend(self) -> Tensor:
        """The tensor, to keep and to write into; it stays the same until its shape changes."""
        if not self.lent:
            self.tensor = self.tensor.detach().clone(memory_format=torch.contiguous_format)
            self.lent = True
        return self.tensor

    def write(self, values: Tensor, own: bool, dtype: torch.dtype | None = None) -> None:
        """Replace the values, converted to `dtype` (default: the current type).

        `own` means that nothing else will ever write into `values`. Tensors saved by autograd reflect overwritten
        values, as in Caffe's backward passes.
        """
        device, dtype = self.tensor.device, dtype or self.tensor.dtype
        if self.lent and values.shape == self.tensor.shape and dtype == self.tensor.dtype:
            self.tensor.data.copy_(values)
            return
        self.tensor = values.detach() if values.requires_grad else values
        if not own:
            self.tensor = self.tensor.clone()
        if self.tensor.dtype != dtype or self.tensor.device != device:
            self.tensor = self.tensor.to(device, dtype)
        self.lent = False

    def resize(self, shape: Shape) -> None:
        """Change the shape. The values are kept if their number stays the same, and lost otherwise."""
        if self.tensor.numel() == torch.Size(shape).numel():
            self.tensor = self.tensor.reshape(shape)
        else:
            self.tensor, self.lent = self.tensor.new_zeros(shape), False

    def move(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move to a device, with elements of this type."""
        self.tensor = self.tensor.to(device, dtype)


class Memory:
    """`data` and `diff` of one blob.

    `reals` is the precision of floating-point values, `dtype` the declared type of the value that the blob currently
    holds: versions of one blob may have different types.
    """

    def __init__(
        self, shape: Shape, weight: float, device: torch.device, reals: torch.dtype, dtype: DType = "float32"
    ) -> None:
        self.reals, self.dtype = reals, dtype
        self.values = Buffer(torch.zeros(shape, device=device, dtype=torch_dtype(dtype, reals)))
        """The buffer that `data` lends; the executor reads it without lending it."""
        self.weight = weight
        """The value that fills a new gradient: the blob's loss weight."""
        self._gradient: Buffer | None = None

    @classmethod
    def over(cls, tensor: Tensor) -> Memory:
        """The memory of an existing tensor."""
        memory = cls((), 0.0, tensor.device, tensor.dtype)
        memory.values = Buffer(tensor, lent=True)
        return memory

    @property
    def data(self) -> Tensor:
        """The values, to keep and to write into."""
        return self.values.lend()

    @property
    def diff(self) -> Tensor:
        """The gradient, to keep and to write into."""
        return self.gradient.lend()

    @property
    def gradient(self) -> Buffer:
        """The buffer that `diff` lends, created on first access."""
        if self._gradient is None:
            self._gradient = Buffer(torch.full_like(self.values.tensor, self.weight, dtype=self.reals))
        return self._gradient

    @property
    def has_gradient(self) -> bool:
        """Whether the gradient was written or lent in this shape; otherwise all of it is `weight`."""
        self._follow()
        return self._gradient is not None

    @property
    def shape(self) -> Shape:
        """Extents."""
        return tuple(self.values.tensor.shape)

    def resize(self, shape: Shape) -> None:
        """Change the shape. The values are kept if their number stays the same, and lost otherwise."""
        if self.shape == tuple(shape):
            return
        self.values.resize(shape)
        self._follow()

    def write(self, values: Tensor, own: bool = False, dtype: DType | None = None) -> None:
        """Overwrite `data` with a value of a declared type (default: that of the previous one) and adopt its shape.

        `own` as in Buffer.
        """
        buffer = self.values
        if dtype is None or dtype == self.dtype:
            exact = buffer.tensor.dtype
        else:
            self.dtype, exact = dtype, torch_dtype(dtype, self.reals)
        buffer.write(values, own, exact)
        if self._gradient is not None:
            self._follow()

    def write_diff(self, values: Tensor, own: bool = False) -> None:
        """Overwrite `diff`; `own` as in Buffer."""
        self.gradient.write(values, own)

    def move(self, device: torch.device, reals: torch.dtype) -> None:
        """Move to a device, with floating-point values in this precision."""
        self.reals = reals
        self.values.move(device, torch_dtype(self.dtype, reals))
        if self._gradient is not None:
            self._gradient.move(device, reals)

    def _follow(self) -> None:
        """Reshape the gradient to the shape of the values."""
        buffer = self._gradient
        if buffer is None or tuple(buffer.tensor.shape) == self.shape:
            return
        if buffer.tensor.numel() == self.values.tensor.numel():
            buffer.resize(self.shape)
        else:
            self._gradient = None


class SharedMemory(Memory):
    """The blob of a top that is its bottom's memory (`Layer.shares_values`), with a gradient of its own."""

    def __init__(self, source: Memory) -> None:
        self.reals, self.dtype, self.weight = source.reals, source.dtype, 0.0
        self.values = source.values
        self._gradient = None

    @property
    def gradient(self) -> Buffer:
        """The buffer that `diff` lends, in the shape that the bottom has now."""
        self._follow()
        return super().gradient

    def move(self, device: torch.device, reals: torch.dtype) -> None:
        """Move the gradient; the bottom's blob moves the values."""
        self.reals = reals
        if self._gradient is not None:
            self._gradient.move(device, reals)


def memory_key(graph: Graph, value: str) -> str:
    """The blob that holds a value."""
    blob = graph.values[value].blob
    return value if blob == AUTOMATIC else blob


def memories(graph: Graph, device: torch.device, reals: torch.dtype) -> dict[str, Memory]:
    """The memory of each blob, in the order they first appear. Unknown extents are 0.

    A top that shares its bottom's values and is overwritten in place has memory of its own.
    """
    weights = dict(graph.losses)
    sources = {top: node.bottoms[0] for node in graph.nodes if node.layer.shares_values for top in node.tops}
    versions = Counter(memory_key(graph, name) for name in graph.values)
    found: dict[str, Memory] = {}
    for name, value in graph.values.items():
        key = memory_key(graph, name)
        if name in sources and versions[key] == 1:
            shared = found[key] = SharedMemory(found[memory_key(graph, sources[name])])
            shared.weight = weights.get(name, 0.0)
            continue
        shape = (0,) if value.shape is None else tuple(extent if known(extent) else 0 for extent in value.shape)
        memory = found.setdefault(key, Memory(shape, 0.0, device, reals, value.dtype))
        memory.resize(shape)
        memory.weight = weights.get(name, memory.weight)
    return found
