"""Receptive fields: how much of the input one element of a value sees, along each spatial axis.

The field of a window of `kernel` elements, `stride` apart, over elements with field f that lie j apart in the input is
f + dilation (kernel - 1) j, and its own elements lie j stride apart (Araujo, Norris, Sim, Computing Receptive Fields
of Convolutional Neural Networks, Distill 2019). Padding and the input's border are left out, as in papers: a field may
be larger than the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from netc.ir.dims import Shape, agree, known
from netc.ir.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What an element sees along one axis."""

    size: int = 1
    """Input elements from the first to the last that change it."""
    jump: Fraction = Fraction(1)
    """Input elements between two neighbours of the value."""

    def window(self, kernel: int, stride: int, dilation: int) -> ReceptiveField:
        """Behind a window.

        >>> ReceptiveField().window(7, 2, 1).window(3, 2, 1)
        ReceptiveField(size=11, jump=Fraction(4, 1))
        """
        return ReceptiveField(ceil(self.size + dilation * (kernel - 1) * self.jump), self.jump * stride)

    def spread(self, kernel: int, stride: int, dilation: int) -> ReceptiveField:
        """Behind a deconvolution, of whose elements each sees one in `stride` of the kernel's places."""
        seen = ceil(Fraction(dilation * (kernel - 1) + 1, stride))
        return ReceptiveField(ceil(self.size + (seen - 1) * self.jump), self.jump / stride)

    def whole(self, extent: int) -> ReceptiveField:
        """Of all `extent` elements together."""
        return self.window(extent, 1, 1)


ReceptiveFields = tuple[ReceptiveField, ...]
"""One an axis; empty where a value has nothing to do with a place of the input."""

WINDOWS = frozenset(("Convolution", "Pooling", "Im2col"))
KEEPING = frozenset(("Crop", "Slice", "Tile", "Concat", "Eltwise", "BatchReindex", "Filter"))
"""Types that may change extents, but take each element as it is."""


def receptive_fields(graph: Graph) -> dict[str, ReceptiveFields | None]:
    """The field of each value by axis: of height and width, or of depth, height and width.

    None where it is not known. Values behind a flattening or an inner product see the field of all they are made of.
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
    pairs = [(fields[name], graph.shape(name)) for name in node.bottoms]
    if shape is None or any(field is None or bottom is None for field, bottom in pairs):
        return None
    known_pairs: Sequence[tuple[Any, Any]] = [pair for pair in pairs if pair[0]]
    if not known_pairs:
        return ()
    if node.layer.type in KEEPING:
        return _largest([field for field, _ in known_pairs])
    return _through(node.layer, *known_pairs[0], shape)


def _through(layer: Any, bottom: ReceptiveFields, shape: Shape, top: Shape) -> ReceptiveFields | None:
    """Behind a layer that looks at one bottom."""
    spatial, result = shape[2:], top[2:]
    if layer.type == "Deconvolution" or layer.type in WINDOWS:
        if getattr(layer, "kernel", None) is None:
            return _all(bottom, spatial)
        axes = len(bottom)
        windows = zip(_each(layer.kernel, axes), _each(layer.stride, axes), _each(_dilation(layer), axes))
        step = ReceptiveField.spread if layer.type == "Deconvolution" else ReceptiveField.window
        return tuple(step(field, *window) for field, window in zip(bottom, windows))
    if agree(result, spatial):
        return bottom
    if all(agree(extent, 1) for extent in result):  # one element, or none with a place: it sees all of the bottom
        return _all(bottom, spatial)
    return None


def _dilation(layer: Any) -> tuple[int, ...]:
    return getattr(layer, "dilation", (1,)) or (1,)


def _each(values: tuple[int, ...], axes: int) -> tuple[int, ...]:
    return values if len(values) == axes else (values or (1,))[:1] * axes


def _all(fields: ReceptiveFields, spatial: Shape) -> ReceptiveFields | None:
    if len(spatial) != len(fields):  # flattened before: the fields are those of the whole already
        return fields
    return tuple(map(ReceptiveField.whole, fields, spatial)) if all(map(known, spatial)) else None


def _largest(fields: Sequence[ReceptiveFields]) -> ReceptiveFields | None:
    """Of several bottoms, the largest field; elements lie as in the first."""
    if any(len(one) != len(fields[0]) for one in fields):
        return None
    return tuple(ReceptiveField(max(field.size for field in axis), axis[0].jump) for axis in zip(*fields))
