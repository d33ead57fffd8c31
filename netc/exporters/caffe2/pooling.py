"""Layers of `netc/layers/pooling.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.convolution import extents, padding
from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.exporters.errors import unsupported
from netc.ir.dims import ceil_div
from netc.layers.pooling import Frame, Pooling

CAFFE_LEGACY_POOLING = 3
"""The value of `legacy_pad` by which the number of windows is rounded up as in Caffe."""


@writes(Pooling)
def pooling(layer: Pooling, call: Caffe2Call) -> None:
    """MaxPool and AveragePool.

    Caffe's mean counts padding, Caffe2's does not; where they differ, the plane is padded by PadImage first.
    """
    if layer.pool == "STOCHASTIC" or len(call.tops) > 1:
        unsupported("Caffe2 has neither STOCHASTIC pooling nor a mask as a second top")
    if call.axes != 4:
        unsupported("Caffe2 pools two spatial axes in the layout of Caffe")
    kind = "MaxPool" if layer.pool == "MAX" else "AveragePool"
    if layer.kernel is None:
        call.top(kind, call.x, global_pooling=1, kernel=0, order="NCHW")
        return
    kernel, stride, pad = layer.windows(2)
    frames = layer.frames(call.shapes[0][2:])
    if any(_starts_outside(frame) for frame in frames):
        unsupported("a window starts beyond the plane")
    x = call.x
    if layer.pool == "AVE" and any(pad):
        if any(
            frame.windows and (frame.windows - 1) * frame.stride >= frame.extent + 2 * frame.before for frame in frames
        ):
            unsupported("the mean over a window beyond the padded plane")
        x = call.op("PadImage", x, **padding(pad), mode="constant", value=0.0, order="NCHW")
        pad = (0, 0)
    legacy = CAFFE_LEGACY_POOLING if layer.round_mode == "CEIL" else None
    windows = {**extents("kernel", kernel, None), **extents("stride", stride, 1), **padding(pad)}
    if legacy is not None and len(set(pad)) > 1:
        unsupported("rounding up together with different padding of height and width")
    call.top(kind, x, **windows, legacy_pad=legacy, order="NCHW")


def _starts_outside(frame: Frame) -> bool:
    return (frame.windows - 1) * frame.stride - frame.before >= frame.extent


def _is_trimmed(frame: Frame) -> bool:
    """Whether Caffe leaves out the last window because it starts in the padding."""
    return ceil_div(frame.extent + 2 * frame.before - frame.kernel, frame.stride) + 1 != frame.windows
