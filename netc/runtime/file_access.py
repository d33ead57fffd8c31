"""Layers that write files do so only where the user of a net allows it: in training, in tests, and in netc.pycaffe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic
from netc.runtime.modules import LayerModule

if TYPE_CHECKING:
    from netc.ir.graph import Graph
    from netc.ir.layer import FileAccess
    from netc.runtime.lower import Net


def allow_files(net: Net, access: FileAccess) -> None:
    """Set whether the layers of a net may write files; by default they do nothing."""
    for module in net.modules():
        if isinstance(module, LayerModule):
            module.files = access


def idle_writers(graph: Graph) -> list[Diagnostic]:
    """W806 for each layer of a graph that would write a file, where none may."""
    message = "layer `{}` writes no file: `{}` runs in `netc train` and `netc test` only"
    return [
        Diagnostic("W806", message.format(node.name, node.layer.type), node.span)
        for node in graph.nodes
        if node.layer.writes_file
    ]
