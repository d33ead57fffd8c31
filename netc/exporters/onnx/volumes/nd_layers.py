"""Layers of `netc/layers/volumes/nd_layers.py` in ONNX."""

from __future__ import annotations

from dataclasses import replace

from netc.exporters.errors import unsupported
from netc.exporters.onnx.convolution import convolution
from netc.exporters.onnx.pooling import pooling
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.volumes.nd_layers import NdConvolution, NdPooling


@writes(NdConvolution, any_extents=True)
def nd_convolution(layer: NdConvolution, call: OnnxCall) -> None:
    """As BVLC's layer; the bias has one axis."""
    weight, *bias = call.blobs
    convolution(layer.plain, replace(call, blobs=(weight, *(blob.reshape(-1) for blob in bias))))


@writes(NdPooling, any_extents=True)
def nd_pooling(layer: NdPooling, call: OnnxCall) -> None:
    """As BVLC's layer, which counts the elements of a window otherwise."""
    if layer.pool == "AVE" and layer.kernel:
        unsupported("`AVE` of whole windows", "pool")
    pooling(layer.plain, call)
