"""Rates of blobs that layers share by name: one gives them for all, and two must agree (`net.cpp`, AppendParam)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from netc.diagnostics import Diagnostic
from netc.frontends.caffe.origin import LayerOrigin
from netc.ir.fields import Fields
from netc.ir.graph import Node
from netc.ir.parameters import ParamSpec

RATES = ("lr_mult", "decay_mult")

Given = Mapping[tuple[str, str], tuple[float, Node]]
"""For each shared name and rate, what the first layer that gives it says."""


def rates_of(nodes: Sequence[Node]) -> tuple[Given, list[Diagnostic]]:
    """The rates that layers give to shared blobs, and E022 where two layers give others."""
    given: dict[tuple[str, str], tuple[float, Node]] = {}
    found = []
    for node, param, rate in _told(nodes):
        value, first = given.setdefault((param["name"], rate), (param[rate], node))
        if value != param[rate]:
            message = f"`{rate}` of the shared parameter `{param['name']}` is {param[rate]:g}, but {value:g} before"
            notes = (f"layer `{first.name}` sets it to {value:g}", node.origin.note())
            found.append(Diagnostic("E022", message, param.span(rate) or node.span, notes))
    return given, found


def _told(nodes: Sequence[Node]) -> Iterator[tuple[Node, Fields, str]]:
    for node in nodes:
        layer = node.origin.layer if isinstance(node.origin, LayerOrigin) else Fields({})
        for param in layer.get("param", ()):
            if param.get("name", ""):
                yield from ((node, param, rate) for rate in RATES if rate in param)


def with_rates(params: tuple[ParamSpec, ...], given: Given) -> tuple[ParamSpec, ...]:
    """A layer's params, those with a shared name with the rates that any layer gives."""
    return tuple(_with_rates(param, given) if param.name else param for param in params)


def _with_rates(param: ParamSpec, given: Given) -> ParamSpec:
    rates: dict[str, Any] = {rate: given[param.name, rate][0] for rate in RATES if (param.name, rate) in given}
    return replace(param, **rates)
