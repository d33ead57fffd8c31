"""Layers that choose elements or items, or list them: ArgMax, BatchReindex, Filter, Embed, Im2col, SPP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.exporters.onnx.shapes import pooling
from netc.layers.im2col import Im2col
from netc.layers.indexing import BatchReindex, Filter
from netc.layers.inner_product import Embed
from netc.layers.reduction import ArgMax
from netc.layers.spatial_pyramid import SPP


@writes(ArgMax)
def arg_max(layer: ArgMax, call: OnnxCall) -> None:
    """TopK of what is turned round, as of equals the last comes first."""
    if layer.axis is not None:
        places, values = _greatest(call, call.x, layer.axis % call.axes, call.shapes[0][layer.axis], layer.top_k)
        call.top("Identity", values if layer.out_max_val else places)
        return
    count = int(np.prod(call.shapes[0][1:]))
    flat = call.op("Reshape", call.x, call.constant([0, -1], "flat", np.int64))
    places, values = _greatest(call, flat, 1, count, layer.top_k)
    found = call.op("Concat", places, values, axis=1) if layer.out_max_val else places
    call.top("Reshape", found, call.constant([0, *call.top_shapes[0][1:]], "shape", np.int64))


def _greatest(call: OnnxCall, x: str, axis: int, extent: int, count: int) -> tuple[str, str]:
    """Places, as numbers, and values of the greatest along an axis."""
    words = {"starts": -1, "ends": -(2**31), "axes": axis, "steps": -1}
    turned = call.op("Slice", x, *(call.constant([value], word, np.int64) for word, value in words.items()))
    values, indices = call.sink.fresh(f"{call.name}/values"), call.sink.fresh(f"{call.name}/indices")
    call.op("TopK", turned, call.constant([count], "k", np.int64), to=(values, indices), axis=axis)
    places = call.op("Sub", call.constant(extent - 1, "last", np.int64), indices)
    return call.op("Cast", places, to_type="net"), values


@writes(BatchReindex)
def batch_reindex(layer: BatchReindex, call: OnnxCall) -> None:
    """Gather of whole items."""
    call.top("Gather", call.x, call.op("Cast", call.bottoms[1], to_type="int64"), axis=0)


@writes(Filter)
def filter_(layer: Filter, call: OnnxCall) -> None:
    """Compress of each bottom."""
    flat = call.op("Reshape", call.bottoms[-1], call.constant([-1], "flat", np.int64))
    marked = call.op("Cast", flat, to_type="bool")
    for bottom, top in zip(call.bottoms, call.tops):
        call.op("Compress", bottom, marked, to=top, axis=0)


@writes(Embed)
def embed(layer: Embed, call: OnnxCall) -> None:
    """Gather of rows, and perhaps Add."""
    found = call.blob(0), call.op("Cast", call.x, to_type="int64")
    if not layer.bias_term:
        call.top("Gather", *found, axis=0)
        return
    call.top("Add", call.op("Gather", *found, axis=0), call.blob(1))


@writes(Im2col)
def im2col(layer: Im2col, call: OnnxCall) -> bool | None:
    """Conv with a kernel for each place of the window, which holds nothing but a 1 there."""
    if layer.axis % call.axes != 1 or call.axes < 3:
        return False
    channels, w = call.shapes[0][1], layer.windows(call.axes - 2)
    places = int(np.prod(w.kernel))
    kernels = np.tile(np.eye(places).reshape(places, 1, *w.kernel), (channels, 1, *[1] * len(w.kernel)))
    settings = {"kernel_shape": w.kernel, "strides": w.stride, "pads": w.pad * 2, "dilations": w.dilation}
    call.top("Conv", call.x, call.constant(kernels, "places"), group=channels, **settings)
    return None


@writes(SPP)
def spatial_pyramid(layer: SPP, call: OnnxCall) -> bool | None:
    """The poolings of a plane of this size, side by side."""
    if layer.pool == "STOCHASTIC":
        return False
    h, w = call.shapes[0][2:]
    if layer.pyramid_height == 1:
        return pooling(layer.level(h, w, 0), call)
    rows = []
    for level in range(layer.pyramid_height):
        top = call.sink.fresh(f"{call.name}/level{level}")
        pooling(layer.level(h, w, level), replace(call, tops=(top,)))
        rows.append(call.op("Flatten", top, axis=1))
    call.top("Concat", *rows, axis=1)
    return None
