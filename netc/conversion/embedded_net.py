"""Nets without a prototxt: the definition in the weights file, with shapes for the tops of its data layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from netc import compiler
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.frontends import TEST_STATE, NetDefinition, StateChoice, read_net
from netc.frontends.reading import read_tree, upgrade_tree
from netc.ir.dims import UNKNOWN, Shape, known
from netc.layers.convolution import Convolution
from netc.layers.inner_product import InnerProduct
from netc.text import Tree, parse, print_tree
from netc.text.literals import quote
from netc.weights import Weights, atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from netc.ir.graph import Graph, Node


@dataclass(frozen=True)
class NetSource:
    """The definition of a net, from a prototxt or a weights file."""

    source: str | Path | Source
    """The path of the file, or the text rebuilt from a Caffe weights file."""
    weights: Path | None = None
    """The file that the net was in."""
    shapes: Mapping[str, Shape] | None = None
    """Shapes of the tops of data layers, where they follow from the file."""
    notes: tuple[Diagnostic, ...] = ()
    parsed: Weights | None = None
    """The contents of `weights`."""
    scope: str = ""
    """A prefix that is removed from the names of a Caffe2 net's blobs."""


def net_source(
    net: str | Path | Source, dialect: str | None = None, state: StateChoice = TEST_STATE, scope: str = ""
) -> NetSource:
    """The net of a prototxt, or of the .caffemodel that contains it, read as `dialect` instead of the guessed one.

    `state` determines which data layers' shapes are completed. `scope` is a prefix of a Caffe2 net's blobs.

    Raises NetcError E401 to E406, and E806 for a weights file without a net and for a dialect that does not exist.
    """
    definition = read_net(net, dialect=dialect, scope=scope)
    if definition.weights_file is None or not definition.source.text:
        return NetSource(net, definition.weights_file, scope=scope)
    notes = tuple(d for d in definition.report.diagnostics if d.code == "W803")
    weights = definition.weights
    assert isinstance(weights, Weights)
    shapes = _shapes(definition, weights, state)
    return NetSource(definition.source, definition.weights_file, shapes, notes, weights)


def _shapes(definition: NetDefinition, weights: Weights, state: StateChoice) -> dict[str, Shape]:
    """Shapes of data layers' tops: from their parameters, and channels from the blobs of their readers.

    Tops of DummyData layers are left out: their shapes are known, and constant ones are no inputs.
    """
    if definition.report.errors:
        return {}
    graph, _ = compiler.checked_graph(definition, state.of(definition))
    blobs = {layer.name: layer.blobs for layer in weights.layers}
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        for top in node.tops if node.layer.is_data and node.layer.fed_by != "fillers" else ():
            first = next((reader for reader in graph.readers[top] if blobs.get(reader.name)), None)
            weight = blobs[first.name][0] if first else None
            shape = _completed(graph, top, first, None if weight is None else weight.shape)
            if shape is not None:
                shapes[graph.values[top].blob] = shape
    return shapes


def _completed(graph: Graph, top: str, reader: Node | None, weight: Shape | None) -> Shape | None:
    """The shape of a data layer's top, None where it is unknown."""
    shape = graph.shape(top)
    if shape is None or (len(shape) == 4 and not all(map(known, shape[2:]))):
        return None
    if len(shape) == 4 and shape[1] is UNKNOWN and reader is not None and weight:
        shape = (shape[0], _channels(reader, weight, prod(shape[2:])), *shape[2:])
    return shape if all(map(known, shape)) else None


def _channels(reader: Node, weight: Shape, plane: int) -> int:
    """The number of channels that a layer reads, from the shape of its weight."""
    layer = reader.layer
    if isinstance(layer, Convolution) and len(weight) > 1:
        return layer.inputs(weight)
    if isinstance(layer, InnerProduct) and len(weight) > 1 and not layer.transpose and weight[-1] % plane == 0:
        return weight[-1] // plane
    return UNKNOWN


def write_prototxt(
    weights: str | Path,
    output: str | Path,
    *,
    dialect: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
    state: StateChoice = TEST_STATE,
) -> tuple[Diagnostic, ...]:
    """Write the prototxt of the net in a weights file, in the current format; return notes about it.

    Data layers whose shapes are known, from the file or from `shapes`, become inputs. Raises NetcError as `net_source`.
    """
    found = net_source(weights, dialect, state)
    if not isinstance(found.source, Source):
        raise NetcError(f"`{weights}` is not a Caffe weights file", code="E402")
    tree, _ = read_tree(found.source)
    upgrade_tree(tree).raise_errors()
    _data_to_inputs(tree, {**(found.shapes or {}), **(shapes or {})}, state)
    head = f"# The net in {str(weights)!r}, {found.notes[0].notes[0]}.\n"
    with atomic_write(output) as file:
        file.write((head + print_tree(tree)).encode("utf-8", "surrogateescape"))
    return found.notes


def _data_to_inputs(tree: Tree, shapes: Mapping[str, Shape], state: StateChoice) -> None:
    definition = read_net(Source(tree.source.name, print_tree(tree)))
    graph, _ = compiler.checked_graph(definition, state.of(definition))
    data = {node.origin: node for node in graph.nodes if node.layer.is_data}
    for field, layer in zip(tree.root.named("layer"), definition.layers, strict=True):
        node = data.get(layer)
        if node is None:
            continue
        tops = [graph.values[top].blob for top in node.tops]
        if all(top in shapes for top in tops):
            made = parse(Source("<inputs>", "\n".join(_inputs(tops, shapes)) + "\n")).root
            tree.root.replace(field, *made.fields)


def _inputs(tops: list[str], shapes: Mapping[str, Shape]) -> Iterator[str]:
    for top in tops:
        dims = " ".join(f"dim: {extent}" for extent in shapes[top])
        word = quote(top)
        yield f'layer {{\n  name: {word}\n  type: "Input"\n  top: {word}\n  input_param {{ shape {{ {dims} }} }}\n}}'
