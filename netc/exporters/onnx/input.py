"""Layers of `netc/layers/input.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.input import ParameterLayer, Silence


@writes(Silence, any_extents=True)
def silence(layer: Silence, call: OnnxCall) -> None:
    """Nothing."""


@writes(ParameterLayer)
def parameter(layer: ParameterLayer, call: OnnxCall) -> None:
    """A constant."""
    call.top("Identity", call.blob(0))
