"""Layers of `netc/layers/volumes/nd_layers.py` in a .py file."""

from __future__ import annotations

from netc.exporters.python.convolution import convolution
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.volumes.nd_layers import NdConvolution


@writes(NdConvolution, any_extents=True)
def nd_convolution(layer: NdConvolution, call: PythonCall) -> Code:
    """As BVLC's layer."""
    return convolution(layer.plain, call)
