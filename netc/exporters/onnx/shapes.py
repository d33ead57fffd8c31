"""Layers that move elements: joining, parting, reshaping, cropping, pooling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.concat import Concat, Slice, Split
from netc.layers.crop import Crop
from netc.layers.dropout import Dropout
from netc.layers.input import Parameter, Silence
from netc.layers.pooling import FLOAT_MAX, Frame, Pooling
from netc.layers.reduction import Reduction
from netc.layers.reshape import KEEP, Flatten, Reshape, Tile


@writes(Concat)
def concat(layer: Concat, call: OnnxCall) -> None:
    """Concat."""
    call.top("Concat", *call.bottoms, axis=layer.axis)


@writes(Slice)
def slice_(layer: Slice, call: OnnxCall) -> None:
    """Split."""
    parts = [shape[layer.axis] for shape in call.top_shapes]
    if len(parts) == 1:
        call.top("Identity", call.x)
    else:
        call.op("Split", call.x, call.constant(parts, "parts", np.int64), to=call.tops, axis=layer.axis)


@writes(Split)
def split(layer: Split, call: OnnxCall) -> None:
    """Identity, for each top."""
    for top in call.tops:
        call.op("Identity", call.x, to=top)


@writes(Dropout)
def dropout(layer: Dropout, call: OnnxCall) -> None:
    """Identity, as in test."""
    call.top("Identity", call.x)


@writes(Silence)
def silence(layer: Silence, call: OnnxCall) -> None:
    """Nothing."""


@writes(Parameter)
def parameter(layer: Parameter, call: OnnxCall) -> None:
    """A constant."""
    call.top("Identity", call.blob(0))


@writes(Flatten)
def flatten(layer: Flatten, call: OnnxCall) -> None:
    """Reshape to the extents of the top, of which the first axis that is kept stays free."""
    start, end = layer.axis % call.axes, layer.end_axis % call.axes + 1
    if start == end:
        call.top("Unsqueeze", call.x, call.constant([start], "axes", np.int64))
        return
    call.top("Reshape", call.x, call.constant([*[0] * start, -1, *call.shapes[0][end:]], "shape", np.int64))


@writes(Reshape)
def reshape(layer: Reshape, call: OnnxCall) -> bool | None:
    """Reshape: a 0 at place i keeps the extent of axis i, in ONNX as in Caffe."""
    start = layer.axis if layer.axis >= 0 else call.axes + layer.axis + 1
    end = call.axes if layer.num_axes == -1 else start + layer.num_axes
    if end == 0 and call.axes:  # axes are put before the batch, whose extent then is the only free one
        if -1 in layer.shape:
            return False
        tail = (-1, *call.shapes[0][1:])
    else:
        tail = call.shapes[0][end:]
    kept = [0 if extent == KEEP else extent for extent in layer.shape]
    call.top("Reshape", call.x, call.constant([*[0] * start, *kept, *tail], "shape", np.int64))
    return None


@writes(Tile)
def tile(layer: Tile, call: OnnxCall) -> None:
    """Tile."""
    times = [1] * call.axes
    times[layer.axis] = layer.tiles
    call.top("Tile", call.x, call.constant(times, "times", np.int64))


@writes(Crop)
def crop(layer: Crop, call: OnnxCall) -> bool | None:
    """Slice to the extents of the second bottom, which are known but for the batch."""
    axis = layer.axis % call.axes
    if axis == 0:
        return False
    offset = layer.offset if len(layer.offset) > 1 else (layer.offset or (0,)) * (call.axes - axis)
    ends = [start + call.shapes[1][axis + i] for i, start in enumerate(offset)]
    axes = list(range(axis, call.axes))
    words = {"starts": offset, "ends": ends, "axes": axes}
    call.top("Slice", call.x, *(call.constant(values, word, np.int64) for word, values in words.items()))
    return None


@writes(Pooling)
def pooling(layer: Pooling, call: OnnxCall) -> bool | None:
    """MaxPool and AveragePool with Caffe's windows as explicit padding: rounding up means other things elsewhere."""
    if layer.pool == "STOCHASTIC":
        return _expected(layer, call)
    if len(call.tops) > 1:
        return _with_mask(layer, call)
    if layer.kernel is None:
        call.top("GlobalMaxPool" if layer.pool == "MAX" else "GlobalAveragePool", call.x)
        return None
    h, w = layer.frames((call.shapes[0][2], call.shapes[0][3]))
    window: dict[str, Any] = {"kernel_shape": layer.kernel, "strides": layer.stride}
    pads = (h.before, w.before, h.after, w.after)
    x = call.x
    if h.after >= h.kernel or w.after >= w.kernel:  # more than a runtime takes: a window lies wholly outside
        lowest = call.constant(
            -FLOAT_MAX if layer.pool == "MAX" and call.sink.dtype.itemsize > 2 else _least(layer, call)
        )
        x = call.op(
            "Pad", x, call.constant([0, 0, h.before, w.before, 0, 0, h.after, w.after], "pads", np.int64), lowest
        )
        pads = (0, 0, 0, 0)
    if layer.pool == "MAX":
        call.top("MaxPool", x, pads=pads, **window)
    else:
        _average(call, x, (h, w), pads, window)
    return None


def _expected(layer: Pooling, call: OnnxCall) -> bool | None:
    """STOCHASTIC pooling in test: each element weighted by its share of its window's sum."""
    if not layer.stays_inside:
        return False  # outside Caffe's is 0, a mean is not
    means = []
    for name, x in (("squares", call.op("Mul", call.x, call.x)), ("sums", call.x)):
        means.append(call.sink.fresh(f"{call.name}/{name}"))
        pooling(replace(layer, pool="AVE"), replace(call, bottoms=(x, *call.bottoms[1:]), tops=(means[-1],)))
    least = call.constant(np.finfo(call.sink.dtype).tiny, "least")
    call.top("Div", means[0], call.op("Add", means[1], least))
    return None


def _with_mask(layer: Pooling, call: OnnxCall) -> bool | None:
    """MaxPool with its second result, which counts through the batch: what is left of a plane is Caffe's mask."""
    plane = (call.shapes[0][2], call.shapes[0][3])
    h, w = layer.frames(plane)
    if h.after >= h.kernel or w.after >= w.kernel:
        return False  # a window wholly outside has no place
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
    return None


def _least(layer: Pooling, call: OnnxCall) -> float:
    """What padding is filled with in half precision, or for a mean."""
    return float(np.finfo(call.sink.dtype).min) if layer.pool == "MAX" else 0.0


def _average(
    call: OnnxCall, x: str, frames: tuple[Frame, Frame], pads: tuple[int, ...], window: dict[str, Any]
) -> None:
    """The mean over windows clipped to the padded plane: the operator counts all or nothing of the padding."""
    counts = [_counts(frame) for frame in frames]
    full = all((count == frame.kernel).all() for count, frame in zip(counts, frames))
    if full or (x == call.x and not any(frame.before for frame in frames)):
        call.top("AveragePool", x, pads=pads, count_include_pad=int(full), **window)
        return
    mean = call.op("AveragePool", x, pads=pads, count_include_pad=1, **window)
    with np.errstate(divide="ignore"):
        factor = frames[0].kernel * frames[1].kernel / np.outer(*counts)
    call.top("Mul", mean, call.constant(factor, "window"))


def _counts(frame: Frame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Elements that Caffe counts in each window along one axis."""
    start = np.arange(frame.windows) * frame.stride - frame.before
    end = np.minimum(start + frame.kernel, frame.extent + frame.before)
    return (end - start).astype(np.float64)


@writes(Reduction)
def reduction(layer: Reduction, call: OnnxCall) -> None:
    """ReduceSum, ReduceL1, ReduceSumSquare or ReduceMean."""
    kinds = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}
    axes = call.constant(range(layer.axis % call.axes, call.axes), "axes", np.int64)
    kind = kinds[layer.operation]
    if layer.coeff == 1:
        call.top(kind, call.x, axes, keepdims=0)
    else:
        call.top("Mul", call.op(kind, call.x, axes, keepdims=0), call.constant(layer.coeff, "coeff"))
