"""Layers of `netc/layers/operators/convolution.py` in plain torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.operators.convolution import Conv

if TYPE_CHECKING:
    from netc.layers.operators._windows import WindowOperator


@writes(Conv)
def conv(layer: Conv, call: PythonCall) -> Code:
    """F.conv1d, conv2d or conv3d; padding that differs on both sides in a call of its own."""
    check_order(layer)
    pads = layer.as_torch(call.shapes[0][2:])
    x = call.x if pads is not None else padded(layer, call, 0.0)
    settings = {"stride": layer.stride, "padding": pads or (), "dilation": layer.dilation}
    words = [f"{name}={value}" for name, value in settings.items() if value and set(value) != {name != "padding"}]
    words += [f"groups={layer.group}"] * (layer.group > 1)
    return Code(f"F.conv{len(layer.kernel)}d({', '.join([x, *call.bottoms[1:], *words])})")


def check_order(layer: WindowOperator) -> None:
    """Raise NetcError E801 for the channels last."""
    if layer.order != "NCHW":
        unsupported("the channels are the last axis", "order")


def padded(layer: WindowOperator, call: PythonCall, value: float) -> str:
    """The input with the padding of each side."""
    frames = layer.frames(call.shapes[0][2:])
    pads = tuple(pad for frame in reversed(frames) for pad in (frame.head, frame.tail))
    return f"F.pad({call.x}, {pads}" + (f", value=float({str(value)!r})" if value else "") + ")"
