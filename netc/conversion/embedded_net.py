"""Nets without a prototxt: what stands in the weights file itself, with shapes for what its data layers would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from netc import compiler
from netc.diagnostics import Diagnostic, NetcError, Source
from netc.frontends.caffe.binary import Rebuilt, rebuilt
from netc.frontends.caffe.read import read_net, read_tree
from netc.frontends.caffe.upgrade import upgrade_tree
from netc.frontends.caffe.upgrade.edits import first_word
from netc.ir.dims import UNKNOWN, Shape, known
from netc.ir.graph import Graph, Node, State
from netc.layers.convolution import Convolution
from netc.layers.inner_product import InnerProduct
from netc.text import Message, Tree, parse, print_tree
from netc.text.literals import quote
from netc.weights import atomic_write, read
from netc.weights.file_type import content, map_file


@dataclass(frozen=True)
class Described:
    """A net, wherever it stood."""

    source: str | Path | Source
    """A prototxt's path, or the text that was rebuilt."""
    weights: Path | None = None
    """The file that the net was in."""
    shapes: Mapping[str, Shape] | None = None
    """Of the tops of data layers, as far as file and blobs tell them."""
    notes: tuple[Diagnostic, ...] = ()


def described(net: str | Path | Source, dialect: str | None = None) -> Described:
    """The net of a prototxt, or of the .caffemodel that it stands in, read as `dialect` instead of the guessed one.

    Raises NetcError E401 to E406, and E806 for a weights file without a net and for a dialect that has no use.
    """
    if isinstance(net, Source) or not _is_weights(net):
        if dialect is not None:
            raise NetcError("a dialect is for a net that stands in a weights file: this one is a prototxt", code="E806")
        return Described(net)
    found = rebuilt(net, dialect)
    source = Source(str(net), found.text)
    return Described(source, Path(net), _shapes(source, Path(net)), _notes(found, str(net), dialect is not None))


def _is_weights(path: str | Path) -> bool:
    try:
        return content(map_file(path)) in ("caffemodel", "hdf5")
    except NetcError:
        return False  # whoever reads a prototxt says what is wrong with it


def _notes(found: Rebuilt, path: str, told: bool) -> tuple[Diagnostic, ...]:
    plain = "no fork's numbers explain more" if found.skipped else "every number is BVLC's"
    how = "as told" if told else "; ".join(found.evidence) or plain
    notes = [f"read as `{found.dialect}`: {how}"]
    if found.skipped:
        notes.append(f"{found.skipped} fields were passed over that this dialect does not have")
    help = None if told else "`--dialect` reads the file as another fork's"
    return (Diagnostic("W803", f"the net is the one in `{path}`, without a prototxt", notes=tuple(notes), help=help),)


def _shapes(source: Source, weights: Path) -> dict[str, Shape]:
    """Shapes of data layers' tops: from their parameters, and channels from the blobs of who reads them."""
    fields, report = read_net(source)
    if report.errors:
        return {}
    graph, _ = compiler.checked_graph(fields, State())
    blobs = {layer.name: layer.blobs for layer in read(weights).layers}
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        for top in node.tops if node.layer.is_data else ():
            first = next((reader for reader in graph.readers[top] if blobs.get(reader.name)), None)
            weight = blobs[first.name][0] if first else None
            shape = _completed(graph, top, first, None if weight is None else weight.shape)
            if shape is not None:
                shapes[graph.values[top].blob] = shape
    return shapes


def _completed(graph: Graph, top: str, reader: Node | None, weight: Shape | None) -> Shape | None:
    """The shape of a data layer's top, None where it cannot be told."""
    shape = graph.shape(top)
    if shape is None or (len(shape) == 4 and not all(map(known, shape[2:]))):
        return None
    if len(shape) == 4 and shape[1] is UNKNOWN and reader is not None and weight:
        shape = (shape[0], _channels(reader, weight, prod(shape[2:])), *shape[2:])
    return shape if all(map(known, shape)) else None


def _channels(reader: Node, weight: Shape, plane: int) -> int:
    """How many channels a layer reads, told by its weight."""
    layer = reader.layer
    if isinstance(layer, Convolution) and len(weight) > 1:
        return weight[1] * layer.group
    if isinstance(layer, InnerProduct) and len(weight) > 1 and not layer.transpose and weight[-1] % plane == 0:
        return weight[-1] // plane
    return UNKNOWN


def write_prototxt(
    weights: str | Path,
    output: str | Path,
    *,
    dialect: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> tuple[Diagnostic, ...]:
    """Write the prototxt of the net in a weights file, in today's format; gives what is to be said of it.

    Data layers whose shapes are known, from the file or from `shapes`, become inputs. Raises NetcError as `described`.
    """
    found = described(weights, dialect)
    if not isinstance(found.source, Source):
        raise NetcError(f"`{weights}` is no Caffe weight file", code="E402")
    tree, _ = read_tree(found.source)
    upgrade_tree(tree).raise_errors()
    _data_to_inputs(tree, {**(found.shapes or {}), **(shapes or {})})
    head = f"# The net in {str(weights)!r}, {found.notes[0].notes[0]}.\n"
    with atomic_write(output) as file:
        file.write((head + print_tree(tree)).encode("utf-8", "surrogateescape"))
    return found.notes


def _data_to_inputs(tree: Tree, shapes: Mapping[str, Shape]) -> None:
    fields, _ = read_net(Source(tree.source.name, print_tree(tree)))
    graph, _ = compiler.checked_graph(fields, State())
    data = {node.name: node for node in graph.nodes if node.layer.is_data}
    for field in tree.root.named("layer"):
        (layer,) = field.values
        name = first_word(layer, "name") if isinstance(layer, Message) else None
        node = data.get(name or "")
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
