"""Replaces operators of Caffe2 by the layers of Caffe that compute the same, with their parameters as blobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netc.ir.graph import ModuleKeys, Node, Value
from netc.ir.names import UniqueNames
from netc.ir.parameter_table import tabulated
from netc.ir.shapes import infer
from netc.ir.verify import verify
from netc.layers._operator_layer import OperatorLayer
from netc.layers.input import ParameterLayer
from netc.layers.operators.blobs import StoredBlob
from netc.passes.arrays import reduced
from netc.passes.caffe_forms import FORMS, KEEPING, ChainLayer, Parts, Use

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from netc.ir.graph import Graph


def operators_to_layers(graph: Graph) -> Graph:
    """Return the graph with Caffe's layers in place of operators, where Caffe can say them.

    Parameters must have arrays, and shapes must be inferred. An operator stays as it is if Caffe cannot say it, if an
    output that only Caffe2 has is read (the extents that Concat returns), or if a parameter is not float32. Parameters
    that nothing reads any longer are removed, and others become Parameter layers.
    """
    if not any(isinstance(node.layer, OperatorLayer) for node in graph.nodes):
        return graph
    stored = {node.tops[0]: graph.arrays(node)[0] for node in graph.nodes if _is_stored(graph, node)}
    writer = _Writer(graph)
    for node in graph.nodes:
        parts = _parts(graph, node, stored)
        if parts is None:
            writer.nodes.append(node)
        else:
            keeps = type(node.layer) in KEEPING
            writer.add(node, parts, tuple(name for name in node.bottoms if keeps or name not in stored))
    read = {name for node in writer.nodes for name in node.bottoms} | set(graph.outputs)
    kept = [
        writer.parameter(node) if _is_stored(graph, node) else node
        for node in writer.nodes
        if not (isinstance(node.layer, StoredBlob) and node.tops[0] not in read)
    ]
    changed = _distinct(reduced(graph.replace(values=writer.values, nodes=tuple(kept)), kept))
    inferred, report = infer(changed)
    report.raise_errors()
    return verify(tabulated(inferred).with_arrays(writer.arrays))


def _distinct(graph: Graph) -> Graph:
    """The graph with blobs of their own for versions that a layer replaces out of place, which Caffe does not allow.

    The last version keeps the name.
    """
    blobs = UniqueNames("_", (value.blob for value in graph.values.values()))
    values = dict(graph.values)
    for node in graph.nodes:
        for index, top in enumerate(node.tops):
            below = node.bottoms[index] if index < len(node.bottoms) else None
            blob = values[top].blob
            if below is not None and values[below].blob == blob:
                continue
            earlier = [name for name in _before(values, top) if values[name].blob == blob]
            if earlier:
                renamed = blobs.add(blob)
                values.update({name: replace(values[name], blob=renamed) for name in earlier})
    return graph.replace(values=values)


def _before(values: Mapping[str, Value], name: str) -> Iterator[str]:
    for other in values:
        if other == name:
            return
        yield other


def _is_stored(graph: Graph, node: Node) -> bool:
    return isinstance(node.layer, StoredBlob) and bool(graph.arrays(node))


def _parts(graph: Graph, node: Node, stored: Mapping[str, NDArray[Any]]) -> Parts:
    """The layers that compute the same as an operator, None if there are none."""
    if not isinstance(node.layer, OperatorLayer) or any(graph.shape(name) is None for name in node.bottoms):
        return None
    form = FORMS.get(type(node.layer))
    if form is None or any(graph.shape(name) is None for name in node.tops):
        return None
    arrays = tuple(stored.get(name) for name in node.bottoms)
    parts = form(node.layer, Use(graph.shapes(node.bottoms), graph.shapes(node.tops), arrays))
    count = _computed(parts, len(node.tops))
    if parts is None or any(graph.readers[name] or name in graph.outputs for name in node.tops[count:]):
        return None
    return parts


def _computed(parts: Parts, tops: int) -> int:
    """How many outputs the last layer computes."""
    return parts[-1].layer.top_count.most(tops) if parts else tops


class _Writer:
    """The new nodes, values and arrays."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = dict(graph.values)
        self.arrays: dict[str, Sequence[NDArray[Any]]] = {}
        self.keys = ModuleKeys(node.key for node in graph.nodes)
        self.names = UniqueNames("_", (node.name for node in graph.nodes))
        self.versions = UniqueNames(".", graph.values)

    def add(self, node: Node, parts: Sequence[ChainLayer], bottoms: tuple[str, ...]) -> None:
        """Add the layers of a node, in a chain."""
        tops = node.tops[: _computed(parts, len(node.tops))]
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            outputs = tops if is_last else (self._between(tops[0]),)
            name = node.name if index == 0 else self.names.add(f"{node.name}_{part.layer.type.lower()}")
            key = node.key if index == 0 else self.keys.add(name)
            made = replace(
                node, name=name, key=key, layer=part.layer, described=part.layer, bottoms=bottoms, tops=outputs,
                parameters=(),
            )  # fmt: skip
            self.nodes.append(made)
            if part.blobs:
                self.arrays[key] = part.blobs
            bottoms = outputs

    def parameter(self, node: Node) -> Node:
        """A parameter that a layer reads as a blob; one of another type than float32 stays as it is."""
        (array,) = self.graph.arrays(node)
        if array.dtype != "float32":
            return node
        self.arrays[node.key] = (array,)
        layer = ParameterLayer(array.shape)
        return replace(node, layer=layer, described=layer)

    def _between(self, top: str) -> str:
        """A value before the last one of the same blob."""
        name = self.versions.add(top)
        self.values = dict(_inserted(self.values, top, replace(self.values[top], name=name)))
        return name


def _inserted(values: Mapping[str, Value], before: str, new: Value) -> Iterator[tuple[str, Value]]:
    for name, value in values.items():
        if name == before:
            yield new.name, new
        yield name, value
