"""Layers of `netc/layers/pooling.py` in ONNX."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.pooling import FLOAT_MAX, Frame, Pooling


@writes(Pooling, any_extents=True)
def pooling(layer: Pooling, call: OnnxCall) -> None:
    """MaxPool and AveragePool with Caffe's windows as explicit padding: rounding up means other things elsewhere."""
    if layer.kernel is not None and set(call.free[0]) - {0}:
        _of_any_extent(layer, call)
        return
    if layer.pool == "STOCHASTIC":
        _expected(layer, call)
        return
    if len(call.tops) > 1:
        _with_mask(layer, call)
        return
    if layer.kernel is None:
        call.top("GlobalMaxPool" if layer.pool == "MAX" else "GlobalAveragePool", call.x)
    else:
        _over_frames(layer, call)


def _over_frames(layer: Pooling, call: OnnxCall) -> None:
    """Fixed windows, as explicit padding."""
    frames = layer.frames(call.shapes[0][2:])
    window: dict[str, Any] = {"kernel_shape": [f.kernel for f in frames], "strides": [f.stride for f in frames]}
    before, after = [f.before for f in frames], [f.after for f in frames]
    pads = (*before, *after)
    x = call.x
    if any(f.after >= f.kernel for f in frames):  # more than a runtime accepts: a window is entirely outside
        lowest = call.constant(
            -FLOAT_MAX if layer.pool == "MAX" and call.sink.dtype.itemsize > 2 else _least(layer, call)
        )
        x = call.op("Pad", x, call.constant([0, 0, *before, 0, 0, *after], "pads", np.int64), lowest)
        pads = (0,) * len(pads)
    if layer.pool == "MAX":
        call.top("MaxPool", x, pads=pads, **window)
    else:
        _average(call, x, frames, pads, window)


def _of_any_extent(layer: Pooling, call: OnnxCall) -> None:
    """The operators' own rounding, which is Caffe's since opset 19: windows that start in the padding are left out.

    In Caffe this holds only with padding; without it, such a window exists where the stride exceeds the kernel.
    """
    if layer.pool == "STOCHASTIC" or len(call.tops) > 1:
        unsupported("a mask, or STOCHASTIC pooling, of planes whose extents are free", "pool")
    kernel, stride, pad = layer.windows(call.axes - 2)
    if any(step > extent for step, extent in zip(stride, kernel)):
        unsupported("windows with gaps between them, of planes whose extents are free", "stride")
    if layer.pool == "AVE" and any(pad):
        unsupported("the mean over padded windows, of planes whose extents are free", "pad")
    ceil = int(layer.round_mode == "CEIL")
    settings = {"kernel_shape": kernel, "strides": stride, "pads": pad * 2, "ceil_mode": ceil}
    call.top("MaxPool" if layer.pool == "MAX" else "AveragePool", call.x, **settings)


def _expected(layer: Pooling, call: OnnxCall) -> None:
    """STOCHASTIC pooling in test: each element weighted by its share of its window's sum."""
    if not layer.stays_inside:
        unsupported("STOCHASTIC pooling over padded windows", "pool")  # Caffe computes 0 there, a mean does not
    means = []
    for name, x in (("squares", call.op("Mul", call.x, call.x)), ("sums", call.x)):
        means.append(call.sink.fresh(f"{call.name}/{name}"))
        pooling(replace(layer, pool="AVE"), replace(call, bottoms=(x, *call.bottoms[1:]), tops=(means[-1],)))
    least = call.constant(np.finfo(call.sink.dtype).tiny, "least")
    call.top("Div", means[0], call.op("Add", means[1], least))


def _with_mask(layer: Pooling, call: OnnxCall) -> None:
    """MaxPool with its second result, which counts through the batch: what is left of a plane is Caffe's mask."""
    plane = (call.shapes[0][2], call.shapes[0][3])
    h, w = layer.frames(plane)
    if h.after >= h.kernel or w.after >= w.kernel:
        unsupported("a mask of windows that lie outside the image")
    places = call.sink.fresh(f"{call.name}/places")
    call.op(
        "MaxPool",
        call.x,
        to=(call.tops[0], places),
        kernel_shape=layer.kernel or plane,
        strides=layer.stride,
        pads=(h.before, w.before, h.after, w.after),
    )
    mask = call.op("Mod", places, call.constant(plane[0] * plane[1], "plane", np.int64))
    call.op("Cast", mask, to=call.tops[1], to_type="net")


def _least(layer: Pooling, call: OnnxCall) -> float:
    """What padding is filled with in half precision, or for a mean."""
    return float(np.finfo(call.sink.dtype).min) if layer.pool == "MAX" else 0.0


def _average(call: OnnxCall, x: str, frames: tuple[Frame, ...], pads: tuple[int, ...], window: dict[str, Any]) -> None:
    """The mean over windows clipped to the padded plane: the operator counts all or nothing of the padding."""
    counts = [_counts(frame) for frame in frames]
    full = all((count == frame.kernel).all() for count, frame in zip(counts, frames))
    if full or (x == call.x and not any(frame.before for frame in frames)):
        call.top("AveragePool", x, pads=pads, count_include_pad=int(full), **window)
        return
    mean = call.op("AveragePool", x, pads=pads, count_include_pad=1, **window)
    with np.errstate(divide="ignore"):
        factor = np.prod(window["kernel_shape"]) / functools.reduce(np.multiply.outer, counts)
    call.top("Mul", mean, call.constant(factor, "window"))


def _counts(frame: Frame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Elements that Caffe counts in each window along one axis."""
    start = np.arange(frame.windows) * frame.stride - frame.before
    end = np.minimum(start + frame.kernel, frame.extent + frame.before)
    return (end - start).astype(np.float64)
