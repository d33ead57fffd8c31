"""Layers of `netc/layers/convolution.py`, and of its fast forms, as operators of Caffe2."""

from __future__ import annotations

from typing import Any

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.exporters.errors import unsupported
from netc.layers.convolution import Convolution, Deconvolution
from netc.layers.depthwise_convolution import ConvolutionDepthwise, DepthwiseConvolution


@writes(Convolution, Deconvolution, DepthwiseConvolution, ConvolutionDepthwise)
def convolution(layer: Convolution | Deconvolution, call: Caffe2Call) -> None:
    """Conv or ConvTranspose."""
    if layer.axis % call.axes != 1:
        unsupported(f"its channels are on axis {layer.axis}, those of Caffe2's convolutions on axis 1")
    if len(call.bottoms) > 1:
        unsupported("it has several bottoms")
    kind = "ConvTranspose" if isinstance(layer, Deconvolution) else "Conv"
    windows = layer.windows(call.axes - 2)
    if kind == "ConvTranspose" and (call.axes != 4 or set(windows.dilation) != {1}):
        unsupported("ConvTranspose has two spatial axes and no dilation")
    names = ("w", "b")
    blobs = [call.parameter(blob, name) for blob, name in zip(call.blobs, names)]
    settings: dict[str, Any] = {
        **extents("kernel", windows.kernel, None),
        **extents("stride", windows.stride, 1),
        **padding(windows.pad),
        **(extents("dilation", windows.dilation, 1) if kind == "Conv" else {}),
    }
    groups = layer.groups(call.shapes[0][1])
    call.top(kind, call.x, *blobs, **settings, group=groups if groups != 1 else None)


def extents(name: str, values: tuple[int, ...], default: int | None) -> dict[str, Any]:
    """An argument of windows: one number for a square, two for a rectangle, a list for other numbers of axes."""
    if set(values) == {default}:
        return {}
    if len(values) == 2:
        h, w = values
        return {name: h} if h == w else {f"{name}_h": h, f"{name}_w": w}
    return {f"{name}s": values}


def padding(pad: tuple[int, ...]) -> dict[str, Any]:
    """The same padding on both sides of each axis."""
    if len(pad) != 2:
        return {"pads": pad * 2} if any(pad) else {}
    h, w = pad
    if h == w:
        return {"pad": h} if h else {}
    return {"pad_t": h, "pad_l": w, "pad_b": h, "pad_r": w}
