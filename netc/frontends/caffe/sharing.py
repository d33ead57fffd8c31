"""Rates of parameters that layers share by name: set once for all, and they must agree (`net.cpp`, AppendParam)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic
from netc.frontends.caffe.origin import LayerOrigin
from netc.ir.fields import Fields
from netc.ir.graph import Node

if TYPE_CHECKING:
    from netc.ir.parameters import ParamSpec

RATES = ("lr_mult", "decay_mult")

Rates = Mapping[tuple[str, str], tuple[float, Node]]
"""For each shared name and rate, the value and the first layer that sets it."""


def rates_of(nodes: Sequence[Node]) -> tuple[Rates, list[Diagnostic]]:
    """Return the rates of shared parameters, with E022 for layers that set different values."""
    rates: dict[tuple[str, str], tuple[float, Node]] = {}
    found = []
    for node, param, rate in _settings(nodes):
        value, first = rates.setdefault((param["name"], rate), (param[rate], node))
        if value != param[rate]:
            message = f"`{rate}` of the shared parameter `{param['name']}` is {param[rate]:g}, but {value:g} before"
            notes = (f"layer `{first.name}` sets it to {value:g}", node.origin.note())
            found.append(Diagnostic("E022", message, param.span(rate) or node.span, notes))
    return rates, found


def _settings(nodes: Sequence[Node]) -> Iterator[tuple[Node, Fields, str]]:
    for node in nodes:
        layer = node.origin.layer if isinstance(node.origin, LayerOrigin) else Fields({})
        for param in layer.get("param", ()):
            if param.get("name", ""):
                yield from ((node, param, rate) for rate in RATES if rate in param)


def with_rates(params: tuple[ParamSpec, ...], rates: Rates) -> tuple[ParamSpec, ...]:
    """Return the params of a layer; those with a shared name have the rates that any layer sets."""
    return tuple(_with_rates(param, rates) if param.name else param for param in params)


def _with_rates(param: ParamSpec, rates: Rates) -> ParamSpec:
    own: dict[str, Any] = {rate: rates[param.name, rate][0] for rate in RATES if (param.name, rate) in rates}
    return replace(param, **own)
