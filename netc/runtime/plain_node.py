"""A node without a gradient in the node-by-node executor: its forward pass, with as few steps as possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from netc.diagnostics import NetcError
from netc.ir.dims import text
from netc.runtime.blobs import resized
from netc.runtime.modules import overwrite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netc.ir.dtypes import DType
    from netc.ir.graph import Node
    from netc.runtime.blobs import LayerBlob
    from netc.runtime.memory import Memory


@dataclass(frozen=True, eq=False, slots=True)
class PlainNode:
    """A node with one top and no gradient to record, and what its passes look up once.

    The module is looked up in each pass, since a program may replace it or add hooks.
    """

    node: Node
    key: str
    modules: Mapping[str, nn.Module | None]
    """The net's modules by node key."""
    bottoms: tuple[Memory, ...]
    top: Memory
    dtype: DType
    """The declared type of the top."""
    blobs: Sequence[LayerBlob]
    """The node's weights."""
    stock: nn.Module | None
    """The node's module if it is torch's own: its top is a new tensor or its input, never a part of it or a weight."""
    producer: str | None
    """For a node that runs in the memory of its blob: the key of the node that wrote it."""

    def forward(self) -> None:
        """Run the node on its bottoms' memory and write its top. Raises NetcError as the layer does."""
        if resized.any:
            check_weights(self.node, self.blobs)
        module = self.modules[self.key]
        assert module is not None
        bottoms = [memory.values.tensor for memory in self.bottoms]
        if self.producer is None:
            top = module(*bottoms)
        else:
            producer = self.modules[self.producer]
            assert producer is not None
            top = overwrite(module, bottoms[0], producer)
            if top is bottoms[0]:
                return
        if not isinstance(top, Tensor):
            (top,) = top
        own = top.data_ptr() != bottoms[0].data_ptr() if module is self.stock else is_new(top, bottoms, self.blobs)
        self.top.write(top, own, self.dtype)


def is_new(top: Tensor, bottoms: Sequence[Tensor], blobs: Sequence[LayerBlob]) -> bool:
    """Whether a top has memory of its own, which is neither a bottom's nor a weight's."""
    storage = _storage(top)
    for tensor in bottoms:
        if storage == _storage(tensor):
            return False
    return all(storage != _storage(blob.tensor) for blob in blobs)


def check_weights(node: Node, blobs: Sequence[LayerBlob]) -> None:
    """Raises NetcError E304 for a blob that a program resized to a number of values the layer does not accept."""
    for blob in blobs:
        if not blob.fits:
            raise NetcError(
                f"blob {blob.index} of layer `{node.name}` was reshaped to {text(blob.shape)}: "
                f"the layer runs with {text(blob.weight.shape)}",
                code="E304",
                span=node.span,
                help="save the net, and load the weights with a net file that describes the layer in its new size",
            )


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
