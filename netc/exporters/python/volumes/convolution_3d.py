"""Convolutions of `netc/layers/volumes` in plain torch."""

from __future__ import annotations

from netc.exporters.python.convolution import convolution
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.volumes.convolution_3d import Convolution3D, Deconvolution3D


@writes(Convolution3D, Deconvolution3D, any_extents=True)
def volume_convolution(layer: Convolution3D | Deconvolution3D, call: PythonCall) -> Code:
    """As BVLC's layer."""
    return convolution(layer.plain, call)
