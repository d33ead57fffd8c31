"""Translates a layer's parameters to BVLC's terms; unsupported fields of forks are errors."""

from __future__ import annotations

import copy
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Span
from netc.frontends.caffe.forks.fields import KNOWN, SHAPING, called
from netc.frontends.caffe.forks.layer_types import NAMESAKES
from netc.ir.fields import Fields
from netc.schema import LISTED, defaults, descriptor, is_bvlc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


MOST_TOPS = 2
"""The number of tops of a data layer in BVLC's Caffe: images and labels."""


INTEL_ENGINES = ("MKL2017", "MKLDNN")


def is_intels(net: Fields) -> bool:
    """Whether a net is for Intel's Caffe: it names one of its engines, or has a field that only it has."""
    own = any(name in net for name in ("compile_net_state", "multinode", "bn_stats_batch_size"))
    return own or _is_engine(net.get("engine", "")) or any(map(_has_engine, net["layer"]))


def _has_engine(layer: Fields) -> bool:
    """Whether a layer or its parameters name an engine of Intel's."""
    parts = (value for value in layer.values.values() if isinstance(value, Fields) and "engine" in value)
    return _is_engine(layer.get("engine", "")) or any(_is_engine(dict(part.values.items())["engine"]) for part in parts)


def _is_engine(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(INTEL_ENGINES)


def in_bvlc_terms(
    layer: Fields, intels: bool = False, own: frozenset[str] = frozenset()
) -> tuple[Fields, list[Diagnostic]]:
    """Return the LayerParameter with fields of forks replaced by BVLC's equivalents, and the diagnostics.

    `intels` is whether the net is for Intel's Caffe, `own` the fields of forks that the layer's type reads. The
    diagnostics are E106 for every unsupported field of a fork that changes results; they are raised as NetcError if
    one of the fields changes shapes. Raises NetcError E101 for a field that contradicts BVLC's, and E010 for a layer
    type of a fork that has the name of one of BVLC's.
    """
    _check_namesake(layer)
    refused = (d for d in unsupported(layer, "LayerParameter") if d.field not in own)
    found = [*refused, *_further_tops(layer)]
    if any(d.field in SHAPING for d in found):
        raise NetcError(found)
    if intels and layer.get("type", "") == "Pooling":
        layer = _clipped_pooling(layer)
    new = {name: value for name, rule in TRANSLATED.items() if name in layer for value in rule(layer.message(name))}
    return _changed(layer, new, {}) if new else layer, found


def _further_tops(layer: Fields) -> Iterator[Diagnostic]:
    """Yield W002 for tops of a data layer that only forks have."""
    if layer.get("type", "") in ("Data", "ImageData") and len(layer["top"]) > MOST_TOPS:
        text = f"the tops of `{layer['type']}` after the label are specific to forks of Caffe: their shapes are unknown"
        yield Diagnostic("W002", text, layer.span("top", MOST_TOPS))


def _check_namesake(layer: Fields) -> None:
    parameters, fork = NAMESAKES.get(layer.get("type", ""), (None, ""))
    if parameters and parameters in layer:
        note = f"`{layer['type']}` with `{parameters}` is a layer of {called(fork)}; netc does not support it yet"
        place = layer.span("type")
        raise NetcError(f"unsupported layer type `{layer['type']}`", code="E010", span=place, notes=[note])


def unsupported(message: Fields, name: str) -> Iterator[Diagnostic]:
    """Yield E106 for each unsupported field of a fork in a message of type `name` and in its nested messages.

    A field with its default value is ignored. For nets and solvers, nested messages are not checked.
    """
    members = _members(name)
    for field, value in message.values.items():
        if field in members.refused:
            if value != defaults(name)[field]:
                yield _refused(message, name, field, field)
        elif field in members.messages:
            for part in value if isinstance(value, list) else [value]:
                yield from unsupported(part, members.messages[field])
        elif field in members.values and value in members.values[field]:
            yield _refused(message, name, field, value)


def _refused(message: Fields, message_name: str, field: str, member: str) -> Diagnostic:
    """E106; `field` of the diagnostic is the member's full name, `PoolingParameter.dilation`."""
    shown = f"`{field}`" if member == field else f"`{field}: {member}`"
    text = f"{shown} is specific to {called(KNOWN[message_name, member].fork)} and not supported"
    return Diagnostic("E106", text, message.span(field) or message.span(), field=f"{message_name}.{member}")


class _Members(NamedTuple):
    """The unsupported members of a message type."""

    refused: frozenset[str]
    messages: Mapping[str, str]
    """BVLC's message fields with unsupported members, and their types."""
    values: Mapping[str, tuple[str, ...]]
    """BVLC's enum fields with unsupported values."""


@cache
def _members(name: str) -> _Members:
    refused = frozenset(member for message, member in KNOWN if message == name and not KNOWN[name, member].supported)
    messages, values = {}, {}
    for field in descriptor(name).fields:
        if field.enum_type is not None and is_bvlc(field):
            values[field.name] = tuple(value.name for value in field.enum_type.values if value.name in refused)
        elif field.message_type is not None and is_bvlc(field) and name not in ("NetParameter", "SolverParameter"):
            kind = field.message_type.name
            if any(_members(kind)):
                messages[field.name] = kind
    return _Members(refused, messages, {field: found for field, found in values.items() if found})


def _clipped_pooling(layer: Fields) -> Fields:
    """Omit windows beyond the plane where the kernel is 1, as Intel's Caffe does without padding too.

    For such a kernel, that is rounding down.
    """
    pooling = layer.message("pooling_param")
    kernel = {pooling[name] for name in ("kernel_size", "kernel_h", "kernel_w") if name in pooling}
    if kernel != {1} or "round_mode" in pooling or "ceil_mode" in pooling:
        return layer
    return _changed(layer, {"pooling_param": _changed(pooling, {"round_mode": "FLOOR"}, {})}, {})


def _pooling(pooling: Fields) -> Iterator[Fields]:
    """Translate `ceil_mode` to `round_mode`."""
    if "ceil_mode" not in pooling:
        return
    mode = "CEIL" if pooling["ceil_mode"] else "FLOOR"
    if pooling.get("round_mode", mode) != mode:
        raise _contradiction(pooling, "ceil_mode", "round_mode")
    yield _changed(pooling, {"round_mode": mode}, {"round_mode": "ceil_mode"})


def _convolution(convolution: Fields) -> Iterator[Fields]:
    """Translate `hole`, and `dilation_h` with `dilation_w`, to `dilation`."""
    short, high, wide = ("hole", "hole_h", "hole_w")
    if "dilation_h" in convolution or "dilation_w" in convolution:
        short, high, wide = ("dilation", "dilation_h", "dilation_w")
    given = [name for name in (short, high, wide) if name in convolution and name != "dilation"]
    if not given:
        return
    if "dilation" in convolution:
        raise _contradiction(convolution, given[0], "dilation")
    both = convolution.get(short, 1)
    pair = (convolution.get(high, both), convolution.get(wide, both))
    yield _changed(convolution, {"dilation": pair}, {"dilation": given[0]})


def _loss(loss: Fields) -> Iterator[Fields]:
    """Translate `normalization` by number: in R-FCN's Caffe 3 is PRE_FIXED and 4 is NONE; in BVLC's, 3 is NONE."""
    place = loss.span("normalization")
    spelled = place.text if place else ""
    if spelled == "4" or (spelled == "3" and "pre_fixed_normalizer" in loss):
        yield _changed(loss, {"normalization": "NONE" if spelled == "4" else "PRE_FIXED"}, {})


def _transform(transform: Fields) -> Iterator[Fields]:
    """Translate several `resize_param`, where a fork selects one by its `prob`, to the first."""
    if f"resize_param{LISTED}" in transform:
        first = _changed(transform.message("resize_param"), {"prob": 1.0}, {})
        yield _changed(transform, {"resize_param": first}, {})


TRANSLATED: dict[str, Callable[[Fields], Iterator[Fields]]] = {
    "pooling_param": _pooling,
    "convolution_param": _convolution,
    "loss_param": _loss,
    "transform_param": _transform,
}
"""By field of LayerParameter: translates its message to BVLC's terms; yields nothing if it already is."""


def _contradiction(message: Fields, one: str, other: str) -> NetcError:
    return NetcError(f"`{one}` and `{other}` contradict each other", code="E101", span=message.span(one), field=one)


def _changed(message: Fields, new: Mapping[str, Any], places: Mapping[str, str]) -> Fields:
    """A message with other values; `places` maps a new field to the field whose position in the file it has."""
    values: Any = copy.copy(message.values)
    values.update(new)
    return Fields(values, message.defaults, message.message, partial(_moved, message, places))


def _moved(message: Fields, places: Mapping[str, str], field: str, index: int) -> Span | None:
    return message.span(places.get(field, field), index)
