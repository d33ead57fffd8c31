"""The list of a net's blobs in Caffe's order, in addition to torch's parameters.

Solver histories, lr_mult and decay_mult, sharing by name and .solverstate files depend on this order, which torch's own
order of parameters does not match.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from netc.ir.dims import Shape
    from netc.ir.graph import Graph
    from netc.ir.layer import Weight
    from netc.ir.parameters import Parameter

_RESIZED = "blob_shape"
"""The attribute of a tensor with the shape of `LayerBlob.resize`."""


class Resized:
    """Whether a blob of any net was given another number of values, so that executors need to look for it."""

    any = False


resized = Resized()


@dataclass(frozen=True)
class LayerBlob:
    """One blob of one layer; blobs that share a name in the net share a tensor."""

    layer: str
    """Name of the layer in the file."""
    key: str
    """Key of the node."""
    index: int
    """Index among the layer's blobs."""
    weight: Weight
    parameter: Parameter
    """The graph's entry, the same for all blobs that share it."""
    owner: tuple[str, int]
    """Node key and index of the blob that owns the memory: this blob, or the first of its name."""
    module: nn.Module

    @property
    def tensor(self) -> Tensor:
        """The module's tensor, in the module's shape. Not cached, because `.to()` may replace it."""
        # a test net's layer whose parameters differ from the train net's has a holder
        module = self.module._modules.get("holder") or self.module
        tensor = module._parameters.get(self.weight.name)  # what `getattr` finds, without its detours
        if tensor is None:
            tensor = getattr(module, self.weight.name)
        return tensor

    @property
    def data(self) -> Tensor:
        """A view of the tensor in Caffe's shape, detached from autograd."""
        return self.tensor.detach().reshape(self.shape)

    @property
    def shape(self) -> Shape:
        """Caffe's shape, or that of `resize`."""
        tensor = self.tensor
        resized: Shape | None = getattr(tensor, _RESIZED, None)
        if resized is None and not self.fits:  # a buffer that moved to another device is a new tensor
            return tuple(tensor.shape)
        return self.weight.shape if resized is None else resized

    def resize(self, shape: Shape) -> None:
        """Change the shape. Values and gradient are kept if their number stays the same, and lost otherwise."""
        if shape == self.shape:
            return
        tensor = self.tensor
        if math.prod(shape) != tensor.numel():
            tensor.data = tensor.new_zeros(shape)
            tensor.grad = None
            resized.any = True
        setattr(tensor, _RESIZED, shape)

    @property
    def fits(self) -> bool:
        """Whether it has the number of values that the layer requires, which `resize` may have changed."""
        return self.tensor.numel() == math.prod(self.weight.shape)

    @property
    def is_owner(self) -> bool:
        """False for a blob that shares the memory of an earlier one."""
        return self.owner == (self.key, self.index)


def write_array(blob: LayerBlob, parameter: Parameter) -> None:
    """Overwrite a blob with the array of its parameter, which has one."""
    assert parameter.array is not None, f"{parameter.name!r} has no array"
    blob.data.copy_(torch.from_numpy(np.array(parameter.array)))


def blobs_of(graph: Graph, modules: dict[str, nn.Module]) -> list[LayerBlob]:
    """Every blob of every layer, in .caffemodel order; `modules` by node key."""
    owners = graph.owners()
    return [
        LayerBlob(node.name, node.key, index, weight, parameter, owners[node.key, index], modules[node.key])
        for node in graph.nodes
        for index, (weight, parameter) in enumerate(zip(graph.weights(node), graph.parameters_of(node)))
    ]
