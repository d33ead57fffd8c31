"""Maps of coordinates between tops of a NetSpec, and crops that align them: Caffe's `caffe.coord_map`.

A map is (axis, scale, shift): position x along each axis after `axis` of a layer's bottom is position
scale x + shift of its top. Scale and shift are numbers, or arrays of one number per axis where these differ. An axis of
None is that of a layer which keeps all positions.

Reference: `python/caffe/coord_map.py` of BVLC's Caffe; Long, Shelhamer, Darrell, Fully Convolutional Networks, 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netc.compiler import read_net, state_choice
from netc.diagnostics import NetcError, Source
from netc.pycaffe.net_spec import Function, NetSpec, Top, layers

if TYPE_CHECKING:
    from netc.ir.layer import Layer

__all__ = [
    "AxisMismatchException",
    "UndefinedMapException",
    "compose",
    "coord_map",
    "coord_map_from_to",
    "crop",
    "inverse",
]

Number = Any
"""A float, or an array of one float per axis."""
Map = tuple[int | None, Number, Number]
AXES = 2
PROBE = (2, 12, 37, 41)
"""The shape of bottoms that shows whether a layer keeps all extents."""
IDENTITY: Map = (None, 1, 0)
PRECISION = 1e-6
"""Tolerance of scales and shifts, which are computed in floating point."""


class UndefinedMapException(NetcError):  # noqa: N818  # Caffe's name
    """A layer whose tops have no position for each position of its bottom."""


class AxisMismatchException(NetcError):  # noqa: N818
    """Two maps along different axes."""


def coord_map(fn: Function) -> Map:
    """Return the map of a layer. Raises UndefinedMapException for a layer without one.

    >>> coord_map(layers.Pooling(layers.Input(), kernel_size=2, stride=2).fn)
    (1, 0.5, -0.25)
    """
    return _map_of(_layer(fn), len(fn.inputs))


def _map_of(layer: Layer, bottoms: int) -> Map:
    own = layer.coordinate_map(AXES)
    if own is not None:
        scale, shift = (_number([pair[part] for pair in own]) for part in (0, 1))
        return 1, scale, shift
    if bottoms and _keeps_extents(layer, bottoms):
        return IDENTITY
    raise UndefinedMapException(f"layers of type `{layer.type}` have no map of coordinates", code="E309")


def compose(base_map: Map, next_map: Map) -> Map:
    """Return the map of `base_map` after `next_map`. Raises AxisMismatchException.

    >>> compose((1, 0.5, -0.25), (1, 2, 1.5))
    (1, 1.0, 0.5)
    """
    (axis1, scale1, shift1), (axis2, scale2, shift2) = base_map, next_map
    axis = axis2 if axis1 is None else axis1
    if axis2 is not None and axis1 is not None and axis1 != axis2:
        raise AxisMismatchException(f"maps along axes {axis1} and {axis2} cannot be composed", code="E309")
    return axis, scale1 * scale2, scale1 * shift2 + shift1


def inverse(coord_map: Map) -> Map:
    """Return the map from the top to the bottom.

    >>> inverse((1, 0.5, -0.25))
    (1, 2.0, 0.5)
    """
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Return the map from positions of one top to those of another with a common ancestor.

    Raises NetcError E309, also a RuntimeError, if they have none.
    """
    maps: dict[Top, Map] = {}
    for top, found in _ancestors(top_from):
        maps.setdefault(top, found)
    for top, found in _ancestors(top_to):
        if top in maps:
            return compose(found, inverse(maps[top]))
    raise NetcError("the two tops have no common ancestor with maps of coordinates", code="E309")


def crop(top_from: Top, top_to: Top) -> Top:
    """Return a Crop of `top_from` to `top_to` with the offset that aligns them.

    Raises NetcError E309 for a scale other than 1 and for an offset that is negative or not an integer.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    if (np.abs(np.asarray(scale) - 1) > PRECISION).any():
        raise NetcError(f"tops at scale {scale} cannot be aligned by a crop", code="E309")
    exact = -np.asarray(shift, float)
    offset = np.rint(exact)
    if (offset < 0).any():
        raise NetcError(f"the offset of a crop cannot be negative: {exact}", code="E309")
    if (np.abs(offset - exact) > PRECISION).any():
        raise NetcError(f"the offset of a crop must be an integer: {exact}", code="E309")
    fields = {"axis": 2 if axis is None else axis + 1, "offset": [int(one) for one in np.atleast_1d(offset)]}
    result: Top = layers.Crop(top_from, top_to, crop_param=fields)
    return result


def _ancestors(top: Top) -> list[tuple[Top, Map]]:
    """The tops that a top is computed from, nearest first, each with the map from it to `top`."""
    found: list[tuple[Top, Map]] = [(top, IDENTITY)]
    seen = {top}
    for current, own in found:  # the list grows
        for source, step in _steps(current.fn):
            if source not in seen:
                seen.add(source)
                found.append((source, compose(own, step)))
    return found


def _steps(fn: Function) -> list[tuple[Top, Map]]:
    """The inputs of a layer whose positions its top has, each with the map from it."""
    if not fn.inputs:
        return []
    layer = _layer(fn)
    try:
        step = _map_of(layer, len(fn.inputs))
    except UndefinedMapException:
        return []
    return [(source, step) for source in fn.inputs[: 1 if layer.aligns_bottoms else None]]


def _layer(fn: Function) -> Layer:
    """Return the layer of a call, with inputs of any shape as its bottoms."""
    spec = NetSpec()
    for index in range(len(fn.inputs)):
        spec[f"in{index}"] = layers.Input()
    copy = Function(fn.type_name, tuple(spec.values()), {**fn.params, "ntop": fn.ntop})
    spec["out"] = copy.tops[0]
    definition = read_net(Source("NetSpec", str(spec.to_proto())))
    graph, report = definition.graph(state_choice().of(definition))
    report.raise_errors()
    return graph.nodes[-1].layer


def _keeps_extents(layer: Layer, bottoms: int) -> bool:
    """Whether the first top has the spatial extents of the bottoms, and thus their positions."""
    try:
        shape = layer.infer((PROBE,) * bottoms, 1)[0]
    except NetcError:
        return False
    return shape is not None and shape[2:] == PROBE[2:]


def _number(values: list[float]) -> Number:
    return values[0] if len(set(values)) == 1 else np.array(values)
