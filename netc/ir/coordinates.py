"""The offsets of Crop layers that align both bottoms, computed from the graph by maps of coordinates.

Along each spatial axis, a layer maps position x of its bottom to position scale x + shift of its top: a convolution to
(x + pad - (kernel - 1) / 2) / stride, a deconvolution the other way round. Two blobs that descend from the same blob
are aligned if their maps from it agree; a crop whose scales agree needs the difference of the shifts as its offset.

Reference: `python/caffe/coord_map.py` of BVLC's Caffe; Caffe's Crop of 2015 (Long, Shelhamer, Darrell) computed this
whenever a layer had no `crop_param`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netc.diagnostics import Diagnostic, NetcError
from netc.ir.coordinate_map import CoordinateMap, composed
from netc.ir.dims import agree
from netc.ir.graph import Graph, Node
from netc.ir.layer import Layer

PRECISION = 1e-6
"""Tolerance of scales and shifts, which are computed in floating point."""


def crop_offsets(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the offsets of the Crop layers without parameters in their file, by node key.

    Those that cannot be computed are left out: if the bottoms have no common source or other scales, or if an offset
    would be negative or not an integer. Shapes must be inferred.
    """
    layers = {node.key: node.layer for node in graph.nodes}
    found: dict[str, tuple[int, ...]] = {}
    for node in graph.nodes:
        if node.layer.aligns_bottoms and _is_bare(node):
            offset = _offset(graph, node, layers)
            if offset is not None:
                found[node.key] = offset
                layers[node.key] = replace(node.layer, offset=offset)  # type: ignore[call-arg]
    return found


def _is_bare(node: Node) -> bool:
    """Whether a Crop layer has no parameters in its file."""
    return node.origin.get(node.layer.param_field or "") is None and not getattr(node.layer, "offset", ())


def autocropped(graph: Graph) -> Graph:
    """Return the graph with the offsets of `crop_offsets`. Raises NetcError E102 for one that exceeds its bottom."""
    offsets = crop_offsets(graph)
    return graph.replace(nodes=tuple(_cropped(graph, node, offsets.get(node.key)) for node in graph.nodes))


def crop_warnings(graph: Graph) -> Iterator[Diagnostic]:
    """Yield W120 for each Crop layer with an offset of 0 that Caffe's branch of 2015 would compute as another one."""
    offsets = crop_offsets(graph)
    for node in graph.nodes:
        offset = offsets.get(node.key, ())
        if any(offset):
            values = offset_fields(offset)
            shown = ", ".join(map(str, values))
            fields = " ".join(f"offset: {value}" for value in values)
            yield Diagnostic(
                "W120",
                f"`{node.name}` crops from offset 0; Caffe's branch of 2015 computes {shown} from the net",
                node.span,
                ("files of that branch, such as those of HED, have no `crop_param`",),
                f"write `crop_param {{ {fields} }}`, as `netc upgrade --autocrop` does, or use `--autocrop`",
            )


def offset_fields(offset: tuple[int, ...]) -> tuple[int, ...]:
    """Return the values of the field `offset`: one per axis, or one if they are equal."""
    return offset if len(set(offset)) > 1 else offset[:1]


def _cropped(graph: Graph, node: Node, offset: tuple[int, ...] | None) -> Node:
    if offset is None:
        return node
    layer = replace(node.layer, offset=offset)  # type: ignore[call-arg]
    try:
        layer.infer(graph.shapes(node.bottoms), 1)
    except NetcError as error:
        raise error.at(node.span, f"in layer `{node.name}`, with the computed offset") from None
    return replace(node, layer=layer)


def _offset(graph: Graph, node: Node, layers: dict[str, Layer]) -> tuple[int, ...] | None:
    if len(node.bottoms) != 2:  # an error, which inference reports
        return None
    first, second = (_from_ancestors(graph, name, layers) for name in node.bottoms)
    common = next((name for name in second if name in first), None)
    if common is None:
        return None
    pairs = list(zip(first[common], second[common]))
    if not pairs or any(abs(one[0] - other[0]) > PRECISION * one[0] for one, other in pairs):
        return None
    shifts = [one[1] - other[1] for one, other in pairs]
    offsets = tuple(round(shift) for shift in shifts)
    whole = all(abs(shift - offset) < PRECISION for shift, offset in zip(shifts, offsets))
    return offsets if whole and min(offsets) >= 0 else None


def _from_ancestors(graph: Graph, name: str, layers: dict[str, Layer]) -> dict[str, CoordinateMap]:
    """The map to a value from each value that it is computed from, nearest first."""
    producers = {top: node for node in graph.nodes for top in node.tops}
    axes = len(graph.shape(name) or ()) - 2
    found: dict[str, CoordinateMap] = {name: ((1.0, 0.0),) * max(axes, 0)}
    waiting = [name] if axes > 0 else []
    while waiting:
        value = waiting.pop(0)
        node = producers.get(value)
        own = _map_of(graph, node, value, layers) if node is not None else None
        if node is None or own is None:
            continue
        for bottom in node.bottoms[: 1 if node.layer.aligns_bottoms else None]:
            if bottom not in found and len(graph.shape(bottom) or ()) - 2 == axes:
                found[bottom] = composed(own, found[value])
                waiting.append(bottom)
    return found


def _map_of(graph: Graph, node: Node, top: str, layers: dict[str, Layer]) -> CoordinateMap | None:
    """The map of a node; the identity for a layer without a map that keeps all extents."""
    if not node.bottoms:
        return None
    bottom, result = graph.shape(node.bottoms[0]) or (), graph.shape(top) or ()
    own = layers[node.key].coordinate_map(len(result) - 2)
    if own is None and len(bottom) == len(result) and agree(bottom[2:], result[2:]):
        return ((1.0, 0.0),) * (len(result) - 2)
    return own
