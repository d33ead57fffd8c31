"""Layers of `netc/layers/convolution.py` in plain torch."""

from __future__ import annotations

from dataclasses import replace

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, constructor, writes
from netc.layers.convolution import Convolution, Deconvolution
from netc.layers.depthwise_convolution import ConvolutionDepthwise, DepthwiseConvolution


@writes(Convolution, Deconvolution, DepthwiseConvolution, ConvolutionDepthwise, any_extents=True)
def convolution(layer: Convolution | Deconvolution, call: PythonCall) -> Code:
    """One module for several bottoms; batch axes besides the first are folded into it for the call."""
    axis = layer.axis % call.axes
    shape = (1, *call.shapes[0][axis:])
    module = replace(layer, axis=1).module((shape,), 1)
    if module is None:
        unsupported("a convolution over more than 3 axes", "axis")
    before, after = "", ""
    if axis == 0:
        before, after = ".unsqueeze(0)", ".squeeze(0)"
    tops = []
    for x in call.bottoms:
        if axis > 1:
            before, after = f".flatten(0, {axis - 1})", f".unflatten(0, {x}.shape[:{axis}])"
        tops.append(f"{call.module}({x}{before}){after}")
    return Code(", ".join(tops), constructor(module))
