"""Layers with blobs, and what normalises."""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.activations import PReLU
from netc.layers.batch_norm import BatchNorm
from netc.layers.convolution import Convolution, Deconvolution
from netc.layers.inner_product import InnerProduct
from netc.layers.normalization import LRN, MVN
from netc.layers.scale import Bias, Broadcast, Scale


@writes(Convolution, Deconvolution)
def convolution(layer: Convolution | Deconvolution, call: OnnxCall) -> bool | None:
    """Conv or ConvTranspose for each bottom; batch axes beside the first are folded into it for the call."""
    axis = layer.axis % call.axes
    if axis == call.axes - 1:
        return False
    windows = layer.windows(call.axes - axis - 1)
    kind = "Conv" if isinstance(layer, Convolution) else "ConvTranspose"
    weights = [call.blob(index) for index in range(len(call.blobs))]
    settings: dict[str, Any] = {
        "kernel_shape": windows.kernel,
        "strides": windows.stride,
        "pads": windows.pad * 2,
        "dilations": windows.dilation,
        "group": layer.group,
    }
    for bottom, top in zip(call.bottoms, call.tops):
        if axis == 1:
            call.op(kind, bottom, *weights, to=top, **settings)
            continue
        before = [1, *call.shapes[0]] if axis == 0 else [-1, *call.shapes[0][axis:]]
        folded = call.op("Reshape", bottom, call.constant(before, "folded", np.int64))
        made = call.op(kind, folded, *weights, **settings)
        behind = call.top_shapes[0] if axis == 0 else (-1, *call.top_shapes[0][1:])
        call.op("Reshape", made, call.constant(behind, "shape", np.int64), to=top)
    return None


@writes(InnerProduct)
def inner_product(layer: InnerProduct, call: OnnxCall) -> None:
    """Flatten and Gemm; MatMul where more than one axis stays."""
    axis = layer.axis % call.axes
    if axis == 1:
        x = call.x if call.axes == 2 else call.op("Flatten", call.x, axis=1)
        call.top("Gemm", x, *map(call.blob, range(len(call.blobs))), transB=int(not layer.transpose))
        return
    x = (
        call.x
        if axis == call.axes - 1
        else call.op("Reshape", call.x, call.constant([0] * axis + [-1], dtype=np.int64))
    )
    matrix = call.constant(call.blobs[0] if layer.transpose else call.blobs[0].T, "weight")
    if not layer.bias_term:
        call.top("MatMul", x, matrix)
        return
    call.top("Add", call.op("MatMul", x, matrix), call.blob(1))


@writes(BatchNorm)
def batch_norm(layer: BatchNorm, call: OnnxCall) -> bool | None:
    """BatchNormalization with normalised statistics; a Scale behind it is its affine part."""
    if layer.use_global_stats is False or call.axes < 2:
        return False
    mean, variance, count, *affine = call.blobs
    share = 0 if count[0] == 0 else 1 / count[0]
    factor = affine[0] if affine else np.ones_like(mean)
    addend = affine[1] if len(affine) > 1 else np.zeros_like(mean)
    words = {"weight": factor, "bias": addend, "mean": mean * share, "variance": variance * share}
    names = [call.constant(values, word) for word, values in words.items()]
    call.top("BatchNormalization", call.x, *names, epsilon=layer.eps)
    return None


def _operand(layer: Broadcast, call: OnnxCall, index: int) -> str:
    """A blob that broadcasts over the first bottom."""
    own = layer.operand(call.shapes)
    trailing = call.axes - layer.axis % call.axes - len(own) if own else 0
    return call.blob(index, (*own, *[1] * trailing))


def _second(layer: Broadcast, call: OnnxCall) -> str:
    """The second bottom, made to broadcast over the first."""
    own = len(call.shapes[1])
    trailing = call.axes - layer.axis % call.axes - own if own else 0
    if not trailing:
        return call.bottoms[1]
    return call.op("Unsqueeze", call.bottoms[1], call.constant(range(own, own + trailing), "axes", np.int64))


@writes(Scale)
def scale(layer: Scale, call: OnnxCall) -> None:
    """Mul, and perhaps Add."""
    factor = _operand(layer, call, 0) if len(call.bottoms) == 1 else _second(layer, call)
    if not layer.bias_term:
        call.top("Mul", call.x, factor)
        return
    call.top("Add", call.op("Mul", call.x, factor), _operand(layer, call, len(call.blobs) - 1))


@writes(Bias)
def bias(layer: Bias, call: OnnxCall) -> None:
    """Add."""
    call.top("Add", call.x, _operand(layer, call, 0) if len(call.bottoms) == 1 else _second(layer, call))


@writes(PReLU)
def prelu(layer: PReLU, call: OnnxCall) -> None:
    """PRelu with a slope a channel."""
    call.top("PRelu", call.x, call.blob(0, [-1] + [1] * (call.axes - 2)))


@writes(LRN)
def local_response(layer: LRN, call: OnnxCall) -> None:
    """LRN across channels, whose alpha is divided by the window as in Caffe; within one, the mean of squares."""
    size = layer.local_size
    if layer.norm_region == "ACROSS_CHANNELS":
        call.top("LRN", call.x, size=size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
        return
    squares = call.op("Mul", call.x, call.x)
    reach = size // 2
    window: dict[str, Any] = {
        "kernel_shape": (size, size),
        "pads": (reach,) * 4,
        "strides": (1, 1),
        "count_include_pad": 1,
    }
    mean = call.op("AveragePool", squares, **window)
    divisor = call.op("Add", call.op("Mul", mean, call.constant(layer.alpha)), call.constant(1))
    call.top("Div", call.x, call.op("Pow", divisor, call.constant(layer.beta)))


@writes(MVN)
def mean_variance(layer: MVN, call: OnnxCall) -> bool | None:
    """The mean of planes or pictures taken away, and their deviation divided by."""
    if call.axes != 4:
        return False
    axes = call.constant([1, 2, 3] if layer.across_channels else [2, 3], "axes", np.int64)
    mean = call.op("ReduceMean", call.x, axes)
    if not layer.normalize_variance:
        call.top("Sub", call.x, mean)
        return None
    centred = call.op("Sub", call.x, mean)
    variance = call.op("ReduceMean", call.op("Mul", centred, centred), axes)
    call.top("Div", centred, call.op("Add", call.op("Sqrt", variance), call.constant(layer.eps)))
    return None
