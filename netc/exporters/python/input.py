"""Layers of `netc/layers/input.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.input import ParameterLayer, Silence


@writes(Silence)
def silence(layer: Silence, call: PythonCall) -> Code:
    """Nothing."""
    return Code("")


@writes(ParameterLayer)
def parameter(layer: ParameterLayer, call: PythonCall) -> Code:
    """A learned tensor."""
    return Code(call.weights[0])
