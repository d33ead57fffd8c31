"""A layer written in Python in the node-by-node executor: it runs on the memory of its blobs itself."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.runtime.array_blobs import write_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netc.ir.graph import Node
    from netc.ir.layer_host import LayerHost
    from netc.runtime.array_blobs import Blob


@dataclass(frozen=True, eq=False)
class HostedNode:
    """A layer written in Python, with its bottoms and tops."""

    node: Node
    host: LayerHost
    bottoms: list[Blob]
    tops: list[Blob]

    def forward(self) -> None:
        """Run it; on a GPU, move what it wrote there."""
        with self._at_layer():
            self.host.forward(self.bottoms, self.tops)
        write_back()

    def backward(self, needed: Sequence[bool]) -> None:
        """Run it backward, for the gradients of the bottoms in `needed`."""
        with self._at_layer():
            self.host.backward(self.tops, needed, self.bottoms)
        write_back()

    @contextlib.contextmanager
    def _at_layer(self) -> Iterator[None]:
        try:
            yield
        except NetcError as error:
            raise error.at(self.node.span, f"in layer `{self.node.name}`") from None
