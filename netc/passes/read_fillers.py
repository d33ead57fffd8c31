"""The pass that gives parameters the numbers of their fillers' files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, counted
from netc.ir.dims import all_known, product, text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from netc.ir.graph import Graph, Node
    from netc.ir.parameters import Parameter
    from netc.passes.arrays import Array


def read_fillers(graph: Graph, read: Callable[[Node, str], Array], without: Collection[str] = ()) -> Graph:
    """Return the graph with the numbers of each filler `file` as an array, except for layers named in `without`.

    `read` returns the numbers in a file that a node refers to. Raises its NetcError, and E105 for a file with fewer
    numbers than the parameter has elements (SpatialTransformerLayer's Caffe repeats the last one).
    """
    entries = dict(graph.parameters)
    for node in graph.nodes:
        for name in node.parameters:
            entry = entries[name]
            is_read = entry.filler.type == "file" and entry.array is None and node.name not in without
            if is_read and all_known(entry.shape):
                entries[name] = replace(entry, array=_array(node, entry, read))
    return graph.replace(parameters=entries)


def _array(node: Node, entry: Parameter, read: Callable[[Node, str], Array]) -> Array:
    count = product(entry.shape)
    try:
        numbers = read(node, entry.filler.file)
        if len(numbers) < count:
            have = counted(len(numbers), "number")
            message = f"filler `file` expects {counted(count, 'number')} for {text(entry.shape)}, the file has {have}"
            raise NetcError(message, code="E105")
    except NetcError as error:
        raise error.at(node.span, f"in layer `{node.name}`: filler of `{entry.name}`") from None
    return numbers[:count].reshape(entry.shape)
