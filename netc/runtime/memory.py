"""Caffe's blobs: the memory that all versions of one blob share, for the node-by-node executor."""

from __future__ import annotations

import torch
from torch import Tensor

from netc.ir.dims import Shape, known
from netc.ir.graph import Graph

AUTOMATIC = "(automatic)"
"""What Caffe calls the top of a loss that the file gives no name; two of them are two blobs."""


class Memory:
    """`data` and `diff` of one blob. Both stay the same tensors until the shape changes."""

    def __init__(self, shape: Shape, weight: float, device: torch.device, dtype: torch.dtype) -> None:
        self.data = torch.zeros(shape, device=device, dtype=dtype)
        self.weight = weight
        """What a new `diff` is filled with: the blob's loss weight."""
        self._diff: Tensor | None = None

    @property
    def diff(self) -> Tensor:
        """The gradient, made when first asked for."""
        if self._diff is None:
            self._diff = torch.full_like(self.data, self.weight)
        return self._diff

    @property
    def has_diff(self) -> bool:
        """Whether anybody asked for `diff`."""
        return self._diff is not None

    def resize(self, shape: Shape) -> None:
        """Take another shape. What was in there is kept where the number of elements stays, else lost."""
        if tuple(self.data.shape) == tuple(shape):
            return
        same = self.data.numel() == torch.Size(shape).numel()
        self.data = self.data.reshape(shape) if same else self.data.new_zeros(shape)
        if self._diff is not None:
            self._diff = self._diff.reshape(shape) if same else torch.full_like(self.data, self.weight)

    def write(self, values: Tensor) -> None:
        """Overwrite `data`. Tensors that autograd saved from here see it, as Caffe's backward passes do."""
        self.resize(tuple(values.shape))
        self.data.data.copy_(values)

    def write_diff(self, values: Tensor) -> None:
        """Overwrite `diff`."""
        self.diff.copy_(values)

    def move(self, device: torch.device, dtype: torch.dtype) -> None:
        """Go to another device."""
        self.data = self.data.to(device, dtype)
        self._diff = None if self._diff is None else self._diff.to(device, dtype)


def memory_key(graph: Graph, value: str) -> str:
    """The blob whose memory a value lives in."""
    blob = graph.values[value].blob
    return value if blob == AUTOMATIC else blob


def memories(graph: Graph, device: torch.device, dtype: torch.dtype) -> dict[str, Memory]:
    """The memory of each blob, in the order they first appear. Extents that nobody knows yet are 0."""
    weights = dict(graph.losses)
    found: dict[str, Memory] = {}
    for name, value in graph.values.items():
        shape = tuple(extent if known(extent) else 0 for extent in value.shape or (0,))
        shape = () if value.shape == () else shape
        memory = found.setdefault(memory_key(graph, name), Memory(shape, 0.0, device, dtype))
        memory.resize(shape)
        memory.weight = weights.get(name, memory.weight)
    return found
