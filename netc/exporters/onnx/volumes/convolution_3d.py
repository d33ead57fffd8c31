"""Convolutions of `netc/layers/volumes` in ONNX."""

from __future__ import annotations

from dataclasses import replace

from netc.exporters.onnx.convolution import convolution
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.volumes.convolution_3d import Convolution3D, Deconvolution3D


@writes(Convolution3D, Deconvolution3D, any_extents=True)
def volume_convolution(layer: Convolution3D | Deconvolution3D, call: OnnxCall) -> None:
    """As BVLC's layer; the bias has one axis."""
    weight, *bias = call.blobs
    convolution(layer.plain, replace(call, blobs=(weight, *(blob.reshape(-1) for blob in bias))))
