"""Layers of `netc/layers/operators/convolution.py` in ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.operators.convolution import Conv

if TYPE_CHECKING:
    from netc.layers.operators._windows import WindowOperator


@writes(Conv)
def conv(layer: Conv, call: OnnxCall) -> None:
    """Conv; the filter and the bias are values of the graph."""
    call.top("Conv", *call.bottoms, dilations=layer.dilation, group=layer.group, **windows(layer, call))


def windows(layer: WindowOperator, call: OnnxCall) -> dict[str, tuple[int, ...]]:
    """The attributes of windows at fixed extents, with explicit padding.

    Raises NetcError E801 for the channels last, and for windows that do not start at the first elements.
    """
    if layer.order != "NCHW":
        unsupported("the channels are the last axis", "order")
    frames = layer.frames(call.shapes[0][2:])
    if any(frame.head < 0 for frame in frames):
        unsupported("its windows do not start at the first elements", "pads")
    pads = (*(frame.head for frame in frames), *(max(frame.tail, 0) for frame in frames))
    return {"kernel_shape": layer.kernel, "strides": layer.stride, "pads": pads}
