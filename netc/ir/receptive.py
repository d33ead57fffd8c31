"""Receptive fields: the extent of the input that one element of a value depends on, along each spatial axis."""

from __future__ import annotations

from netc.ir.dims import Shape
from netc.ir.graph import Graph, Node
from netc.ir.receptive_field import ReceptiveField, ReceptiveFields


def receptive_fields(graph: Graph) -> dict[str, ReceptiveFields | None]:
    """The field of each value by axis: of height and width, or of depth, height and width.

    None if it is unknown. After a flatten or an inner product, the field is that of all elements it is computed from.
    """
    fields: dict[str, ReceptiveFields | None] = {name: _input(graph.shape(name)) for name in graph.inputs}
    for node in graph.nodes:
        for top in node.tops:
            fields[top] = _of(graph, node, top, fields)
    return fields


def _input(shape: Shape | None) -> ReceptiveFields | None:
    return None if shape is None else tuple(ReceptiveField() for _ in shape[2:])


def _of(graph: Graph, node: Node, top: str, fields: dict[str, ReceptiveFields | None]) -> ReceptiveFields | None:
    shape = graph.shape(top)
    if node.layer.is_data or not node.bottoms:
        return _input(shape)
    bottoms: list[tuple[ReceptiveFields, Shape]] = []
    for name in node.bottoms:
        field, bottom = fields[name], graph.shape(name)
        if shape is None or field is None or bottom is None:
            return None
        if field:
            bottoms.append((field, bottom))
    if shape is None or not bottoms:
        return None if shape is None else ()
    seen, shapes = zip(*bottoms)
    return node.layer.receptive_field(seen, shapes, shape)
